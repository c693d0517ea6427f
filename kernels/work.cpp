#include "kernels/work.h"

namespace vitrail {
namespace {

double bytes_of(std::initializer_list<In> operands) {
  double bytes = 0;
  for (const In& operand : operands) {
    if (operand) bytes += double(operand.shape.elements()) * double(size_of(operand.dtype));
  }
  return bytes;
}

Work moves(std::initializer_list<In> operands) {
  return {.bytes = bytes_of(operands), .products = {}};
}

// x: (…, in), y: (…, out)
WeightProducts products_of(In x, In y) {
  const std::int64_t in = x.shape[x.shape.rank - 1], out = y.shape[y.shape.rank - 1];
  return {.rows = in == 0 ? 0 : x.shape.elements() / in, .in = in, .out = out};
}

Work multiplies(const WeightProducts& products, std::initializer_list<In> operands) {
  return {
      .flops = 2.0 * products.count() * double(products.rows) * double(products.in) * double(products.out),
      .bytes = bytes_of(operands),
      .products = products};
}

Work multiplies_forward(In x, In y, std::initializer_list<In> operands) {
  WeightProducts products = products_of(x, y);
  products.y = true;
  return multiplies(products, operands);
}

Work multiplies_backward(In x, In dy, bool dx, std::initializer_list<In> operands) {
  WeightProducts products = products_of(x, dy);
  products.dx = dx;
  products.dweight = true;
  return multiplies(products, operands);
}

Work attends(In qkv, int products, std::initializer_list<In> operands) {
  const double tokens = double(qkv.shape[1]), dim = double(qkv.shape[2]) / 3;
  return {.flops = 2.0 * products * double(qkv.shape[0]) * tokens * tokens * dim,
          .bytes = bytes_of(operands),
          .products = {}};
}

}  // namespace

Work work_of(const PatchEmbedForward& op) {
  return multiplies_forward(op.patches, op.y, {op.y, op.patches, op.images, op.weight, op.bias});
}

Work work_of(const PatchEmbedBackward& op) {
  return multiplies_backward(op.patches, op.dy, false,
                             {op.dweight_acc, op.dweight_acc, op.dbias_acc, op.dbias_acc, op.dy, op.patches});
}

Work work_of(const EmbedTokensForward& op) {
  return moves({op.x, op.patches, op.cls_token, op.dist_token, op.reg_token, op.pos_embed});
}

Work work_of(const EmbedTokensBackward& op) {
  return moves({op.dpatches, op.dcls_token_acc, op.dcls_token_acc, op.ddist_token_acc, op.ddist_token_acc,
                op.dreg_token_acc, op.dreg_token_acc, op.dpos_embed_acc, op.dpos_embed_acc, op.dx});
}

Work work_of(const SliceTokensForward& op) {
  return moves({op.y, op.y});  // as many elements of x are read as y has
}

Work work_of(const SliceTokensBackward& op) {
  return moves({op.dy, op.dy, op.dy});
}

Work work_of(const MeanTokensForward& op) {
  return moves({op.y, op.x});
}

Work work_of(const MeanTokensBackward& op) {
  return moves({op.dx_acc, op.dx_acc, op.dy});
}

Work work_of(const LinearForward& op) {
  return multiplies_forward(op.x, op.y, {op.y, op.x, op.weight, op.bias});
}

Work work_of(const LinearBackward& op) {
  return multiplies_backward(
      op.x, op.dy, bool(op.dx),
      {op.dx, op.dweight_acc, op.dweight_acc, op.dbias_acc, op.dbias_acc, op.dy, op.x, op.weight});
}

Work work_of(const LinearGeluForward& op) {
  return multiplies_forward(op.x, op.y, {op.y, op.pre, op.x, op.weight, op.bias});
}

Work work_of(const GeluForward& op) {
  return moves({op.y, op.pre});
}

Work work_of(const LinearResidualForward& op) {
  return multiplies_forward(op.x, op.y, {op.y, op.branch, op.residual, op.x, op.weight, op.bias, op.gamma});
}

Work work_of(const LinearResidualBackward& op) {
  return multiplies_backward(
      op.x, op.dy, true,
      {op.dx, op.dweight_acc, op.dweight_acc, op.dbias_acc, op.dbias_acc, op.dgamma_acc, op.dgamma_acc, op.dy,
       op.branch, op.x, op.weight, op.gamma, op.gelu_pre});
}

Work work_of(const LayerNormForward& op) {
  return moves({op.y, op.mean, op.rstd, op.x, op.weight, op.bias});
}

Work work_of(const LayerNormBackward& op) {
  return moves({op.dx_acc, op.dx_acc, op.dweight_acc, op.dweight_acc, op.dbias_acc, op.dbias_acc, op.dy, op.x,
                op.weight, op.mean, op.rstd});
}

Work work_of(const AttentionForward& op) {
  return attends(op.qkv, 2, {op.y, op.lse, op.qkv});
}

Work work_of(const AttentionBackward& op) {
  return attends(op.qkv, 5, {op.dqkv, op.dy, op.y, op.qkv, op.lse});
}

Work work_of(const CrossEntropy& op) {
  return moves({op.losses, op.dlogits, op.logits, op.targets});
}

Work work_of(const ApplyDropout& op) {
  return moves({op.y, op.x});
}

Work work_of(const Combine& op) {
  return moves({op.y, op.a, op.b});
}

Work work_of(const Cast& op) {
  return moves({op.y, op.x});
}

Work work_of(const QuantizeRows& op) {
  return moves({op.y, op.scale, op.sum, op.x});
}

Work work_of(const AdamStep& op) {
  return moves({op.weight, op.weight, op.first_moment, op.first_moment, op.second_moment, op.second_moment,
                op.ema, op.ema, op.weight_bf16, op.grad});
}

Work work_of(const GradNorm& op) {
  return moves({op.norm, op.grad});
}

}  // namespace vitrail
