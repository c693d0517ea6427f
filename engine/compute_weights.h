#pragma once
// What a network reads of its parameters: themselves, or with bf16 their matrices rounded beside the rest.
// The parameters stay f32; the copy is derived from them and never saved.

#include "engine/param_set.h"

namespace vitrail {

// Calls visit(LinearParams&) for each layer whose weight a product reads in the dtype that is computed in.
// The head's are not among them (engine/head.h).
template <class Visit>
void visit_product_layers(VitParams& params, Visit&& visit) {
  visit(params.patch_embed);
  for (BlockParams& block : params.blocks) {
    for (LinearParams* linear : {&block.qkv, &block.proj, &block.fc1, &block.fc2})
      visit(*linear);
  }
}

class ComputeWeights {
 public:
  // dtype: C of attention_half.h.
  ComputeWeights(Backend& backend, const VitConfig& config, DType dtype);

  // From now on views() are of this set, as it is now; it must live as long.
  void follow(const ParamSet& params);
  const VitParams& views() const { return views_; }
  // (all elements of a set): with bf16, what whoever changes the set that is followed writes its rounded
  // values to; else absent.
  Out rounded() const { return rounded_; }

  std::size_t bytes() const { return buffer_.size(); }
  static std::size_t bytes_for(const VitConfig& config, DType dtype);

 private:
  Backend& backend_;
  Buffer buffer_;
  Out rounded_;
  VitParams views_;
};

}  // namespace vitrail
