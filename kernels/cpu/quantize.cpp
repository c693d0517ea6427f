#include "kernels/cpu/quantize.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

// Whole numbers of float vectors, in bytes.
template <class Byte>
using ByteVec [[gnu::vector_size(kVectorBytes / 4)]] = Byte;

constexpr float kSteps = 255;
constexpr float kRounder = 0x1.8p23f;  // added, it leaves a whole number in the low bits

template <class Byte>
void write_bytes(const PartVector<float>& access, Byte* to, const Vec<float>& whole) {
  for (std::int64_t lane = 0; lane < access.count; ++lane)
    to[lane] = static_cast<Byte>(whole[lane]);
}
template <class Byte>
void write_bytes(const WholeVector<float>&, Byte* to, const Vec<float>& whole) {
  const IntVec bits = reinterpret_cast<IntVec>(whole + kRounder) - reinterpret_cast<IntVec>(splat(kRounder));
  const ByteVec<Byte> bytes = __builtin_convertvector(bits, ByteVec<Byte>);
  std::memcpy(to, &bytes, sizeof bytes);
}

// To the nearest whole number.
Vec<float> rounded(const Vec<float>& x) {
  return (x + kRounder) - kRounder;
}

Vec<float> magnitude(const Vec<float>& x) {
  return larger<float>(x, -x);
}

void quantize_row(const float* x, std::int64_t count, float limit, std::int8_t* y, float& scale, float& sum) {
  Vec<float> largest{}, total{};
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    largest = larger<float>(magnitude(access.load(x + i)), largest);
    total += access.load(x + i) * 0.0f;  // NaN where a number is none or infinite
  });
  const float most = max_of<float>(largest);
  const float inverse = most > 0 ? limit / most : 0;
  scale = most / limit + sum_of<float>(total);
  Vec<float> whole_sum{};
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const Vec<float> whole =
        rounded(lesser<float>(larger<float>(access.load(x + i) * inverse, splat(-limit)), splat(limit)));
    whole_sum += access.only(whole, 0);
    write_bytes(access, y + i, whole);
  });
  sum = sum_of<float>(whole_sum);
}

}  // namespace

void cut_into_steps(const float* x, std::int64_t count, std::uint8_t* steps, float& low, float& step) {
  Vec<float> least = splat(x[0]), most = least, total{};
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const Vec<float> value = access.only(access.load(x + i), x[0]);
    least = lesser<float>(value, least);
    most = larger<float>(value, most);
    total += value * 0.0f;
  });
  const float nothing = sum_of<float>(total);  // NaN where a number is none or infinite
  const float lowest = -max_of<float>(-least), range = max_of<float>(most) - lowest;
  const float inverse = range > 0 ? kSteps / range : 0;
  low = lowest + nothing;
  step = range / kSteps + nothing;
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const Vec<float> whole = (access.load(x + i) - lowest) * inverse;
    write_bytes(access, steps + i, rounded(lesser<float>(larger<float>(whole, splat(0.0f)), splat(kSteps))));
  });
}

void execute(Context& context, const QuantizeRows& op) {
  const std::int64_t cols = op.x.shape.dims[1];
  const float limit = static_cast<float>(context.products().int8_limit);
  for_chunks(context, op.x.shape.dims[0], rows_per_chunk(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      quantize_row(op.x.as<float>() + row * cols, cols, limit, op.y.as<std::int8_t>() + row * cols,
                   op.scale.as<float>()[row], op.sum.as<float>()[row]);
    }
  });
}

void multiply_plainly(const Int8Product& product) {
  for (std::int64_t row = 0; row < product.m; ++row) {
    const std::uint8_t* a = product.a + row * product.a_stride;
    for (std::int64_t col = 0; col < product.n; ++col) {
      const std::int8_t* b = product.b + col * product.b_stride;
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < product.k; ++i)
        sum += std::int32_t{a[i]} * b[i];
      product.c[row * product.c_stride + col] = sum;
    }
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
