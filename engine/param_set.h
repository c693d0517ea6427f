#pragma once
// One allocation cut into the tensors of visit_params(): the type of weights, gradients, both moments and
// EMA.

#include <functional>
#include <span>
#include <string_view>

#include "engine/vit_params.h"
#include "kernels/backend.h"

namespace vitrail {

struct ParamTensor {
  ParamSpec spec;
  std::int64_t offset = 0;  // elements from the start of the set; a multiple of 16, the same for every dtype
  Out view;
};

class ParamSet {
 public:
  ParamSet(Backend& backend, const VitConfig& config, DType dtype);  // all zero

  const VitParams& views() const { return views_; }  // by place in the network
  std::span<const ParamTensor> tensors() const { return tensors_; }
  const ParamTensor* find(std::string_view name) const;  // null when there is none

  Out flat() const { return flat_; }  // (all elements, zero padding between tensors)
  DType dtype() const { return flat_.dtype; }
  std::int64_t parameters() const;  // without padding
  std::size_t bytes() const { return buffer_.size(); }
  // What a set would take.
  static std::size_t bytes_for(const VitConfig& config, DType dtype);

 private:
  Buffer buffer_;
  Out flat_;
  VitParams views_;
  std::vector<ParamTensor> tensors_;
};

// timm's initialisation; number e of parameter p is a function of (seed, p, e). With `wanted`, of the
// parameters that it picks alone.
void init_params(Backend& backend, const VitConfig& config, const ParamSet& params, std::uint64_t seed,
                 const std::function<bool(const ParamSpec&)>& wanted = {});

}  // namespace vitrail
