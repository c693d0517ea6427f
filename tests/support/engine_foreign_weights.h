#pragma once
// Files of other libraries in memory: a model of ours under their names, written out by hand here, so that
// the tables of engine/families are not tested with themselves.

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/model_io.h"
#include "engine/weight_file.h"

namespace vitrail::test {

struct HostTensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using HostTensorMap = std::map<std::string, HostTensor>;

HostTensorMap host_tensors(const Backend& backend, const ParamSet& params);

// Our names to theirs.
HostTensorMap as_hf_vit(const HostTensorMap& ours, const std::string& prefix);   // before transformers 5
HostTensorMap as_hf5_vit(const HostTensorMap& ours, const std::string& prefix);  // from 5 on
HostTensorMap as_hf_dinov2(const HostTensorMap& ours, const std::string& prefix);
HostTensorMap as_hf_clip(const HostTensorMap& ours);
HostTensorMap as_openai_clip(const HostTensorMap& ours, const std::string& prefix);
HostTensorMap as_jax(const HostTensorMap& ours, std::int64_t heads, bool big_vision);

HostTensorMap with_prefix(const HostTensorMap& tensors, const std::string& prefix);

// The records point into `tensors`, which must stay.
WeightFile weight_file(const HostTensorMap& tensors);
format::Datum datum(const nlohmann::ordered_json& json);

}  // namespace vitrail::test
