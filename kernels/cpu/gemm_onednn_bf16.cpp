// The matmul primitive: in bf16 it uses AMX where the processor has it, else AVX512-BF16.
#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/onednn_call.h"

namespace vitrail::cpu {
namespace {

using dnnl::memory;

memory::desc matrix(std::int64_t rows, std::int64_t cols, memory::data_type type, std::int64_t stride,
                    bool transposed) {
  return {{rows, cols}, type, transposed ? memory::dims{1, stride} : memory::dims{stride, 1}};
}

// A primitive and what it reads and writes, made once for each shape.
struct Matmul {
  memory::desc a, b, c;
  dnnl::matmul primitive;

  Matmul(const Bf16Product& product, const dnnl::engine& engine)
      : a(matrix(product.m, product.k, memory::data_type::bf16, product.a_stride, product.a_transposed)),
        b(matrix(product.k, product.n, memory::data_type::bf16, product.b_stride, product.b_transposed)),
        c(matrix(product.m, product.n, memory::data_type::f32, product.c_stride, false)) {
    dnnl::primitive_attr attributes;
    if (product.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0F);
      attributes.set_post_ops(sum);
    }
    primitive = dnnl::matmul({dnnl::matmul::desc(a, b, c), attributes, engine});
  }
};

using Key = std::array<std::int64_t, 9>;

Key key_of(const Bf16Product& product) {
  return {product.m,
          product.n,
          product.k,
          product.a_stride,
          product.b_stride,
          product.c_stride,
          product.a_transposed,
          product.b_transposed,
          product.accumulate};
}

}  // namespace

void multiply_onednn(const Bf16Product& product) {
  const OnednnCall call;
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  thread_local dnnl::stream stream(engine);
  thread_local std::map<Key, Matmul> made;  // a training run has a few dozen shapes
  const Matmul& matmul = made.try_emplace(key_of(product), product, engine).first->second;
  const auto operand = [](const memory::desc& desc, const void* data) {
    return memory(desc, engine, const_cast<void*>(data));
  };
  matmul.primitive.execute(stream, {{DNNL_ARG_SRC, operand(matmul.a, product.a)},
                                    {DNNL_ARG_WEIGHTS, operand(matmul.b, product.b)},
                                    {DNNL_ARG_DST, operand(matmul.c, product.c)}});
  stream.wait();
}

}  // namespace vitrail::cpu
