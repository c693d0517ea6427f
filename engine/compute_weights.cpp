#include "engine/compute_weights.h"

namespace vitrail {

std::size_t ComputeWeights::bytes_for(const VitConfig& config, DType dtype) {
  return dtype == DType::bf16 ? ParamSet::bytes_for(config, dtype) : 0;
}

ComputeWeights::ComputeWeights(Backend& backend, const VitConfig& config, DType dtype)
    : backend_(backend), buffer_(backend, bytes_for(config, dtype)) {
  if (dtype != DType::bf16) return;
  rounded_ = {buffer_.data(), dtype, {static_cast<std::int64_t>(buffer_.size() / size_of(dtype))}};
}

// The copy has every element's place, those that nothing reads too: so one op makes it.
void ComputeWeights::follow(const ParamSet& params) {
  views_ = params.views();
  if (!rounded_) return;
  backend_.run(Cast{.y = rounded_, .x = params.flat()});
  visit_product_layers(views_, [&](LinearParams& layer) {
    Out& place = layer.weight;
    const std::ptrdiff_t element =
        (place.as<std::byte>() - params.flat().as<std::byte>()) / std::ptrdiff_t(size_of(params.dtype()));
    place = {rounded_.as<std::byte>() + element * std::ptrdiff_t(size_of(DType::bf16)), DType::bf16,
             place.shape};
  });
}

}  // namespace vitrail
