#pragma once
// Weights and models in `.vitrail` files. Strict: a missing, unexpected or mismatched tensor refuses the
// file, and all of them are named together.

#include <filesystem>
#include <optional>

#include "engine/data/transform.h"
#include "engine/param_set.h"
#include "format/container.h"

namespace vitrail {

// What a program needs to use a network: its shape, its preprocessing, its class names, its weights.
struct Model {
  VitConfig config;
  InputConfig input;
  std::vector<std::string> labels;  // one for each class, or none
  ParamSet params;
};

// A model whose weights stay in its file: tensors of `role`, all of `dtype`, under the names and with the
// shapes of visit_params(config).
struct MappedModel {
  format::Container file;
  format::Role role = format::Role::parameter;
  DType dtype = DType::f32;
  VitConfig config;
  InputConfig input;
  std::vector<std::string> labels;
};

struct ModelInfo {
  std::string kind;  // "weights", "model", "checkpoint", "shard", "shard index"
  std::string producer;
  std::string dtype;  // of the parameters; "mixed" when there are several
  std::uint64_t file_bytes = 0;
  std::string content_id;
  std::uint32_t shards = 0;     // of an index, which tells of the set that it makes; else 0
  std::int64_t tensors = 0;     // parameters only, without moments and EMA
  std::int64_t parameters = 0;  // elements of them
  // Of a model or checkpoint:
  std::string architecture;  // "vit"
  std::optional<VitConfig> config;
  std::optional<InputConfig> input;
  std::vector<std::string> labels;
  bool has_ema = false;
  // Of a checkpoint:
  std::int64_t step = 0, total_steps = 0, epoch = 0;
  double lr = 0;                                        // of the next step
  std::vector<std::string> settings;                    // "key=value", the effective configuration
  std::vector<std::pair<std::string, double>> metrics;  // of the last epoch that ended, by name
  std::optional<double> last_top1, best_top1;           // percent
};

// Which weights of a checkpoint that has both: EMA where there is one, as in evaluation during training.
enum class WeightChoice : std::uint8_t { best, plain, ema };

format::WriteResult save_weights(const std::filesystem::path& path, Backend& backend, const ParamSet& params);
void load_weights(const std::filesystem::path& path, Backend& backend, const ParamSet& params);

// A file of kind model; `tensors`: of the model's parameters.
class HostTensors;
format::ContainerContents model_contents(const Model& model, const HostTensors& tensors);
format::WriteResult save_model(const std::filesystem::path& path, Backend& backend, const Model& model);
// From a model or a checkpoint: the network is built from the file alone.
MappedModel map_model(const std::filesystem::path& path, WeightChoice choice = WeightChoice::best);
// Its weights where the file is mapped, for computing on the host, after a check of their hashes. Throws
// format::FormatError. `model` must outlive the views.
VitParams mapped_params(const MappedModel& model);
Model load_model(const std::filesystem::path& path, Backend& backend,
                 WeightChoice choice = WeightChoice::best);

// Both read the head of the file only.
ModelInfo get_model_info(const std::filesystem::path& path);
ModelInfo get_model_info(const format::Container& file);

}  // namespace vitrail
