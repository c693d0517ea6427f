#include "kernels/tokens.h"

#include "kernels/check.h"

namespace vitrail {
namespace {

// One token of the prefix, (1, 1, dim), or several, (1, registers, dim): its number of rows, 0 when absent.
std::int64_t prefix_rows(const Contract& contract, const char* name, In token, const In& x, bool several) {
  if (!token) return 0;
  contract.present(name, token, 3);
  const std::int64_t count = several ? token.shape[1] : 1;
  contract.operand(name, token, x.dtype, {1, count, x.shape[2]});
  return count;
}

// The position embedding has a row for every token, or for every patch only.
void check_pos_embed(const Contract& contract, const char* name, In pos_embed, const In& x,
                     std::int64_t patches) {
  contract.present(name, pos_embed, 3);
  const std::int64_t rows = pos_embed.shape[1] == patches ? patches : x.shape[1];
  contract.operand(name, pos_embed, x.dtype, {1, rows, x.shape[2]});
}

void check_first(const Contract& contract, std::int64_t first, std::int64_t last_allowed) {
  contract.require(first >= 0 && first <= last_allowed, "first", "a token from which enough tokens follow",
                   static_cast<double>(first));
}

}  // namespace

void EmbedTokensForward::check() const {
  const Contract contract(kName);
  contract.present("patches", patches, 3);
  contract.wide("patches", patches);
  std::int64_t tokens = patches.shape[1];
  tokens += prefix_rows(contract, "cls_token", cls_token, patches, false);
  tokens += prefix_rows(contract, "dist_token", dist_token, patches, false);
  tokens += prefix_rows(contract, "reg_token", reg_token, patches, true);
  contract.operand("x", x, patches.dtype, {patches.shape[0], tokens, patches.shape[2]});
  check_pos_embed(contract, "pos_embed", pos_embed, x, patches.shape[1]);
}

void EmbedTokensBackward::check() const {
  const Contract contract(kName);
  contract.present("dpatches", dpatches, 3);
  contract.wide("dpatches", dpatches);
  std::int64_t tokens = dpatches.shape[1];
  tokens += prefix_rows(contract, "dcls_token_acc", dcls_token_acc, dpatches, false);
  tokens += prefix_rows(contract, "ddist_token_acc", ddist_token_acc, dpatches, false);
  tokens += prefix_rows(contract, "dreg_token_acc", dreg_token_acc, dpatches, true);
  contract.operand("dx", dx, dpatches.dtype, {dpatches.shape[0], tokens, dpatches.shape[2]});
  check_pos_embed(contract, "dpos_embed_acc", dpos_embed_acc, dx, dpatches.shape[1]);
}

void SliceTokensForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("y", y, 3);
  contract.operand("y", y, x.dtype, {x.shape[0], y.shape[1], x.shape[2]});
  check_first(contract, first, x.shape[1] - y.shape[1]);
}

void SliceTokensBackward::check() const {
  const Contract contract(kName);
  contract.present("dx_acc", dx_acc, 3);
  contract.present("dy", dy, 3);
  contract.operand("dy", dy, dx_acc.dtype, {dx_acc.shape[0], dy.shape[1], dx_acc.shape[2]});
  check_first(contract, first, dx_acc.shape[1] - dy.shape[1]);
}

void MeanTokensForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.wide("x", x);
  contract.operand("y", y, x.dtype, {x.shape[0], 1, x.shape[2]});
  check_first(contract, first, x.shape[1] - 1);
}

void MeanTokensBackward::check() const {
  const Contract contract(kName);
  contract.present("dx_acc", dx_acc, 3);
  contract.wide("dx_acc", dx_acc);
  contract.operand("dy", dy, dx_acc.dtype, {dx_acc.shape[0], 1, dx_acc.shape[2]});
  check_first(contract, first, dx_acc.shape[1] - 1);
}

}  // namespace vitrail
