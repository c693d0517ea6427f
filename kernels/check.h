#pragma once
// What the check() of every op is written with. Each function throws Error unless its sentence holds; the
// message names op and operand, what was expected and what was found.

#include <cstdint>
#include <string>

#include "kernels/dropout.h"
#include "kernels/view.h"

namespace vitrail {

class Contract {
 public:
  explicit Contract(const char* op) : op_(op) {}

  // The operand is present, with `rank` extents (any rank when 0), all of at least 1.
  void present(const char* operand, In view, int rank = 0) const;

  // The operand is present, with this dtype and shape.
  void operand(const char* operand, In view, DType dtype, const Shape& shape) const;

  // The operand is absent, or has this dtype and shape.
  void optional(const char* operand, In view, DType dtype, const Shape& shape) const;

  // The operand, if present, is f32 or f64: it holds sums, statistics or the residual stream, which bf16
  // cannot.
  void wide(const char* operand, In view) const;

  // Two operands are both present or both absent.
  void together(const char* first, In a, const char* second, In b) const;

  // `holds`, of which `expected` says in words what it means and `found` the value that broke it.
  void require(bool holds, const char* operand, const char* expected, double found) const;

  // rate is in [0, 1) and the layer fits its 16 bits of the random counter.
  void dropout(const char* operand, const Dropout& dropout) const;

 private:
  [[noreturn]] void fail(const char* operand, const std::string& expected, const std::string& found) const;

  const char* op_;
};

// The dtype A that goes with the dtype C in which an op's products are computed (mixed precision,
// Micikevicius et al., arXiv 1710.03740): that of master weights, gradients of weights, the residual stream,
// normalisation, saved statistics (mean, rstd, lse) and losses. C itself, but f32 for bf16 and int8.
DType statistics_dtype(DType data);

}  // namespace vitrail
