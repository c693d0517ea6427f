#include "engine/param_set.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/random.h"

namespace vitrail {
namespace {

constexpr std::int64_t kAlignment = 16;  // elements: 64 bytes of f32, a cache line and a vector

std::int64_t aligned(std::int64_t elements) {
  return (elements + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

std::size_t ParamSet::bytes_for(const VitConfig& config, DType dtype) {
  std::int64_t total = 0;
  VitParams places;
  visit_params(config, places, [&](const ParamSpec& spec, Out&) { total += aligned(spec.shape.elements()); });
  return static_cast<std::size_t>(total) * size_of(dtype);
}

ParamSet::ParamSet(Backend& backend, const VitConfig& config, DType dtype) {
  std::int64_t total = 0;
  visit_params(config, views_, [&](const ParamSpec& spec, Out&) {
    tensors_.push_back({spec, total, {}});
    total += aligned(spec.shape.elements());
  });
  buffer_ = Buffer(backend, static_cast<std::size_t>(total) * size_of(dtype));
  flat_ = {buffer_.data(), dtype, {total}};
  auto tensor = tensors_.begin();
  visit_params(config, views_, [&](const ParamSpec& spec, Out& place) {
    std::byte* data = buffer_.data() + static_cast<std::size_t>(tensor->offset) * size_of(dtype);
    place = tensor->view = {data, dtype, spec.shape};
    ++tensor;
  });
}

const ParamTensor* ParamSet::find(std::string_view name) const {
  for (const ParamTensor& tensor : tensors_) {
    if (tensor.spec.name == name) return &tensor;
  }
  return nullptr;
}

std::int64_t ParamSet::parameters() const {
  std::int64_t total = 0;
  for (const ParamTensor& tensor : tensors_)
    total += tensor.spec.shape.elements();
  return total;
}

namespace {

// Box and Muller's transform: one normal number from two uniform ones.
double normal(std::uint32_t a, std::uint32_t b) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform(a)));
  return radius * std::cos(2 * std::numbers::pi * uniform(b));
}

// The first of two draws within two deviations (one in 480 has neither: then the end of the range).
double cut_normal(const Random4& bits) {
  const double first = normal(bits[0], bits[1]);
  return std::abs(first) <= 2 ? first : std::clamp(normal(bits[2], bits[3]), -2.0, 2.0);
}

double initial_value(const VitConfig& config, const ParamSpec& spec, const Random4& bits) {
  constexpr double kCutDeviation = 0.87962566103423978;  // of a normal number cut off at two
  switch (spec.init) {
    case Init::zeros:
      return 0;
    case Init::ones:
      return 1;
    case Init::normal_02:
      return 0.02 * normal(bits[0], bits[1]);  // ±2 is 100 deviations away
    case Init::normal_1e6:
      return 1e-6 * normal(bits[0], bits[1]);
    case Init::xavier:
      return (2 * uniform(bits[0]) - 1) * std::sqrt(6.0 / double(spec.shape[0] + spec.shape[1]));
    case Init::lecun:
      return cut_normal(bits) / std::sqrt(double(config.patch_elements())) / kCutDeviation;
    case Init::uniform_conv:
      return (2 * uniform(bits[0]) - 1) / std::sqrt(double(config.patch_elements()));
    case Init::layer_scale:
      return config.init_values;
  }
  return 0;
}

template <class T>
void fill(Backend& backend, const VitConfig& config, const ParamTensor& tensor, const RandomKey& key) {
  std::vector<T> values(static_cast<std::size_t>(tensor.spec.shape.elements()));
  for (std::size_t e = 0; e < values.size(); ++e) {
    const Random4 bits = random4(key, static_cast<std::uint32_t>(e >> 32), static_cast<std::uint32_t>(e));
    values[e] = static_cast<T>(initial_value(config, tensor.spec, bits));
  }
  backend.upload(tensor.view, values.data(), values.size() * sizeof(T));
}

}  // namespace

void init_params(Backend& backend, const VitConfig& config, const ParamSet& params, std::uint64_t seed,
                 const std::function<bool(const ParamSpec&)>& wanted) {
  std::uint32_t number = 0;
  for (const ParamTensor& tensor : params.tensors()) {
    const RandomKey key{seed, Purpose::init, 0, number++};
    if (wanted && !wanted(tensor.spec)) continue;
    if (params.dtype() == DType::f64) {
      fill<double>(backend, config, tensor, key);
    } else {
      fill<float>(backend, config, tensor, key);
    }
  }
}

}  // namespace vitrail
