#pragma once
// Numbers that no tensor tells and that decide accuracy, and where each was found.

#include "engine/import_model.h"

namespace vitrail::families {

// A value and who says so; the first to say it is believed.
template <class T>
struct Known {
  T value{};
  std::string from;  // empty: not known

  explicit operator bool() const { return !from.empty(); }
  void learn(const T& found, const std::string& source) {
    if (from.empty()) *this = {found, source};
  }
};

using Channels = std::array<double, 4>;  // by channel; one value or three are repeated

struct Facts {
  Known<double> norm_eps;
  Known<GeluKind> gelu;
  Known<std::int64_t> num_heads;
  Known<std::int64_t> img_size;
  Known<PoolKind> global_pool;
  Known<Channels> mean, std;
  Known<double> crop_pct;
  Known<Interpolation> interpolation;
  Known<std::string> architecture;  // timm's name
  std::vector<std::string> labels;
  std::vector<std::string> remarks;  // for the user: what the documents want and we do otherwise

  // Of a file that we wrote: all of it.
  std::optional<VitConfig> config;
  InputConfig input;
};

// What the user says, then the metadata, then config.json and preprocessor_config.json, in this order.
// Throws ConfigError for a value that we have no place for.
Facts read_facts(const WeightFile& file, const ImportOptions& options);

// Mean and deviation by name: "half", "imagenet", "clip". Throws ConfigError.
void learn_normalization(Facts& facts, const std::string& name, const std::string& source);

}  // namespace vitrail::families
