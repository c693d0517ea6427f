#pragma once
// The token sequence: [cls, dist, reg…, patches…], position embedding added, and tokens taken out of it again
// (timm/models/vision_transformer.py, _pos_embed and pool). All operands of an op are of one dtype: any for
// SliceTokens, f32 or f64 for the others.

#include "kernels/view.h"

namespace vitrail {

// x = concat(cls_token, dist_token, reg_token, patches) + pos_embed
// pos_embed has a row for every token, or (timm's no_embed_class) one for every patch only.
struct EmbedTokensForward {
  static constexpr const char* kName = "embed_tokens_forward";
  Out x;          // (batch, prefix + patches, dim)
  In patches;     // (batch, patches, dim)
  In cls_token;   // (1, 1, dim), may be absent
  In dist_token;  // (1, 1, dim), may be absent
  In reg_token;   // (1, registers, dim), may be absent
  In pos_embed;   // (1, prefix + patches, dim) or (1, patches, dim)
  void check() const;
};

struct EmbedTokensBackward {
  static constexpr const char* kName = "embed_tokens_backward";
  Out dpatches;        // (batch, patches, dim)
  Out dcls_token_acc;  // (1, 1, dim), absent when the token is
  Out ddist_token_acc;
  Out dreg_token_acc;
  Out dpos_embed_acc;  // (1, prefix + patches, dim) or (1, patches, dim)
  In dx;               // (batch, prefix + patches, dim)
  void check() const;
};

// y = x[:, first : first + count]
struct SliceTokensForward {
  static constexpr const char* kName = "slice_tokens_forward";
  Out y;  // (batch, count, dim)
  In x;   // (batch, tokens, dim)
  std::int64_t first = 0;
  void check() const;
};

// dx[:, first : first + count] += dy
struct SliceTokensBackward {
  static constexpr const char* kName = "slice_tokens_backward";
  Out dx_acc;  // (batch, tokens, dim)
  In dy;       // (batch, count, dim)
  std::int64_t first = 0;
  void check() const;
};

// y = mean(x[:, first:], over tokens)
struct MeanTokensForward {
  static constexpr const char* kName = "mean_tokens_forward";
  Out y;  // (batch, 1, dim)
  In x;   // (batch, tokens, dim)
  std::int64_t first = 0;
  void check() const;
};

// dx[:, first:] += dy / (tokens − first)
struct MeanTokensBackward {
  static constexpr const char* kName = "mean_tokens_backward";
  Out dx_acc;  // (batch, tokens, dim)
  In dy;       // (batch, 1, dim)
  std::int64_t first = 0;
  void check() const;
};

}  // namespace vitrail
