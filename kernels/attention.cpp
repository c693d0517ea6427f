#include "kernels/attention.h"

#include "kernels/check.h"

namespace vitrail {
namespace {

void check_qkv(const Contract& contract, In qkv, std::int64_t heads) {
  contract.require(heads >= 1, "heads", "at least 1", static_cast<double>(heads));
  contract.present("qkv", qkv, 3);
  contract.require(qkv.shape[2] % (3 * heads) == 0, "qkv", "a last extent of 3·heads·head_dim",
                   static_cast<double>(qkv.shape[2]));
}

}  // namespace

void AttentionForward::check() const {
  const Contract contract(kName);
  check_qkv(contract, qkv, heads);
  const std::int64_t batch = qkv.shape[0], tokens = qkv.shape[1], dim = qkv.shape[2] / 3;
  contract.operand("y", y, qkv.dtype, {batch, tokens, dim});
  contract.operand("lse", lse, statistics_dtype(qkv.dtype), {batch, heads, tokens});
  contract.dropout("dropout", dropout);
}

void AttentionBackward::check() const {
  const Contract contract(kName);
  check_qkv(contract, qkv, heads);
  const std::int64_t batch = qkv.shape[0], tokens = qkv.shape[1], dim = qkv.shape[2] / 3;
  contract.operand("dqkv", dqkv, qkv.dtype, qkv.shape);
  contract.operand("dy", dy, qkv.dtype, {batch, tokens, dim});
  contract.operand("y", y, qkv.dtype, {batch, tokens, dim});
  contract.operand("lse", lse, statistics_dtype(qkv.dtype), {batch, heads, tokens});
  contract.dropout("dropout", dropout);
}

}  // namespace vitrail
