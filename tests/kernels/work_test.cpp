#include "kernels/work.h"

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

float somewhere;  // only shapes and dtypes are looked at

Out view(Shape shape, DType dtype = DType::f32) {
  return {&somewhere, dtype, shape};
}

TEST_CASE("work: a linear layer is 2·rows·in·out FLOPs a product, its operands each once") {
  const Out x = view({2, 3, 5}), y = view({2, 3, 7}), weight = view({7, 5}), bias = view({7});
  const Work forward = work_of(LinearForward{.y = y, .x = x, .weight = weight, .bias = bias});
  CHECK(forward.flops == 2 * 6 * 5 * 7);
  CHECK(forward.bytes == 4 * (6 * 5 + 6 * 7 + 7 * 5 + 7));
  CHECK(forward.products.rows == 6);
  CHECK(forward.products.in == 5);
  CHECK(forward.products.out == 7);
  CHECK(forward.products.count() == 1);
  CHECK(work_of(LinearForward{.y = y, .x = x, .weight = weight, .bias = {}}).bytes == forward.bytes - 4 * 7);
}

TEST_CASE("work: a backward has two products, one without dx; what accumulates counts twice") {
  const Out x = view({2, 3, 5}), dy = view({2, 3, 7}), weight = view({7, 5});
  LinearBackward op{.dx = x, .dweight_acc = weight, .dbias_acc = {}, .dy = dy, .x = x, .weight = weight};
  CHECK(work_of(op).flops == 2 * 2 * 6 * 5 * 7);
  CHECK(work_of(op).bytes == 4 * (2 * 6 * 5 + 6 * 7 + 3 * 7 * 5));
  op.dx = {};
  CHECK(work_of(op).flops == 2 * 6 * 5 * 7);
  CHECK_FALSE(work_of(op).products.dx);
}

TEST_CASE("work: attention is two products forward and five backward; bf16 halves the bytes") {
  const Out qkv = view({2, 3, 24}), y = view({2, 3, 8}), lse = view({2, 2, 3});
  AttentionForward op{.y = y, .lse = lse, .qkv = qkv, .heads = 2, .dropout = {}};
  CHECK(work_of(op).flops == 2 * 2 * (2 * 3 * 3 * 8));
  CHECK(work_of(op).bytes == 4 * 2 * (3 * 8 + 2 * 3 + 3 * 24));
  CHECK(work_of(op).products.count() == 0);
  const AttentionBackward back{
      .dqkv = qkv, .dy = y, .y = y, .qkv = qkv, .lse = lse, .heads = 2, .dropout = {}};
  CHECK(work_of(back).flops == 5 * work_of(op).flops / 2);
  op.qkv.dtype = op.y.dtype = op.lse.dtype = DType::bf16;
  CHECK(work_of(op).bytes == 2 * 2 * (3 * 8 + 2 * 3 + 3 * 24));
}

TEST_CASE("work: an optimizer step reads gradients once, and everything else back and forth") {
  const Out n = view({100});
  AdamStep op{.weight = n,
              .first_moment = n,
              .second_moment = n,
              .ema = {},
              .grad = n,
              .grad_norm = {},
              .segments = {}};
  CHECK(work_of(op).bytes == 4 * 7 * 100);
  CHECK(work_of(op).flops == 0);
  op.ema = n;
  CHECK(work_of(op).bytes == 4 * 9 * 100);
}

TEST_CASE("profile: what was done is added up, linear layers by their shape") {
  Backend& backend = *cpu_backend();
  Buffer memory(backend, 4096);
  const auto at = [&](std::size_t offset, Shape shape) {
    return Out{memory.data() + offset, DType::f32, shape};
  };
  const LinearForward op{
      .y = at(0, {1, 2, 4}), .x = at(1024, {1, 2, 3}), .weight = at(2048, {4, 3}), .bias = {}};
  backend.set_profiling(true);
  backend.run(op);
  backend.run(op);
  const OpTime time = backend.profile().at("linear_forward 2x3>4");
  backend.set_profiling(false);
  CHECK(time.calls == 2);
  CHECK(time.work.flops == 2 * work_of(op).flops);
  CHECK(time.work.bytes == 2 * work_of(op).bytes);
}

TEST_CASE(
    "measure_peak: a processor adds and multiplies, on two threads and with each "
    "instruction set") {
  for (const std::string& isa : kCpuIsas) {
    Backend* backend = cpu_backend({.threads = 2, .isa = isa});
    if (backend == nullptr) continue;
    CAPTURE(isa);
    const DevicePeak peak = backend->measure_peak();
    CHECK(peak.f32_flops > 1e9);
    CHECK(peak.f64_flops > 1e8);
    CHECK(peak.bf16_flops >= 0);
    CHECK(peak.memory_bytes > 1e8);
  }
}

}  // namespace
}  // namespace vitrail::test
