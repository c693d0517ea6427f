// Writes what check_torch.py compares with PyTorch: for each switch and dtype a folder with weights, a batch,
// the engine's logits, loss, gradients, and ten steps of AdamW (schedule and clipping included).
//   torch_parity FOLDER

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/schedule.h"
#include "tests/support/describe_vit.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/vit_run.h"

namespace vitrail {
namespace {

constexpr std::int64_t kBatch = 6;
constexpr int kSteps = 10;
constexpr double kSmoothing = 0.1;
constexpr OptimizerConfig kOptions{.lr = 3e-3, .weight_decay = 0.1, .clip_norm = 0.5};

using json = nlohmann::ordered_json;

// Raw tensors in one file, described in the manifest.
class Dump {
 public:
  explicit Dump(const std::filesystem::path& folder)
      : folder_(folder), data_(folder / "data.bin", std::ios::binary) {}

  template <class T>
  void add(const std::string& name, const std::vector<T>& values, const std::vector<std::int64_t>& shape) {
    manifest["tensors"][name] = {
        {"shape", shape}, {"offset", std::int64_t(data_.tellp())}, {"bytes", sizeof(T)}};
    data_.write(reinterpret_cast<const char*>(values.data()),
                static_cast<std::streamsize>(values.size() * sizeof(T)));
  }

  void finish() {
    std::ofstream(folder_ / "manifest.json") << manifest.dump(1);
    if (!data_.flush()) throw std::runtime_error("cannot write " + folder_.string());
  }

  json manifest;

 private:
  std::filesystem::path folder_;
  std::ofstream data_;
};

template <class T>
void dump_params(Dump& dump, const Backend& backend, const std::string& prefix, const ParamSet& params) {
  for (const ParamTensor& tensor : params.tensors()) {
    std::vector<T> values(static_cast<std::size_t>(tensor.spec.shape.elements()));
    backend.download(values.data(), tensor.view, values.size() * sizeof(T));
    const auto& dims = tensor.spec.shape.dims;
    dump.add(prefix + tensor.spec.name, values, {dims.begin(), dims.begin() + tensor.spec.shape.rank});
  }
}

ScheduleConfig schedule() {
  return {.kind = ScheduleKind::cosine, .warmup_steps = 3, .min_lr = 1e-4};
}

json describe(const OptimizerConfig& options) {
  return {{"kind", name_of(options.kind)},
          {"lr", options.lr},
          {"weight_decay", options.weight_decay},
          {"decay_all", options.decay_all},
          {"layer_decay", options.layer_decay},
          {"clip_norm", options.clip_norm},
          {"warmup_steps", schedule().warmup_steps},
          {"min_lr", schedule().min_lr},
          {"steps", kSteps}};
}

template <class T>
void write_run(Dump& dump, Backend& backend, const VitConfig& config, DType dtype,
               const OptimizerConfig& options) {
  test::VitRun<T> run(backend, config, dtype, options, kBatch, kSmoothing);
  test::randomize(backend, run.weights, 21);
  dump_params<T>(dump, backend, "weight.", run.weights);
  dump.add("images", run.images, {kBatch, config.in_chans, config.img_size, config.img_size});
  dump.add("targets", run.targets, {kBatch, config.num_classes});
  std::vector<double> losses, norms;
  for (int step = 0; step < kSteps; ++step) {
    losses.push_back(run.loss_and_gradients());
    if (step == 0) {
      dump.add("logits", run.logits, {kBatch, config.num_classes});
      dump_params<T>(dump, backend, "grad.", run.grads);
    }
    norms.push_back(run.optimizer.grad_norm(run.grads));
    run.optimizer.step(run.weights, run.grads, nullptr, step + 1, lr_at(schedule(), options.lr, step, kSteps),
                       0);
  }
  dump_params<T>(dump, backend, "after.", run.weights);
  dump_params<T>(dump, backend, "first_moment.", run.optimizer.first_moment());
  dump_params<T>(dump, backend, "second_moment.", run.optimizer.second_moment());
  dump.manifest["losses"] = losses;
  dump.manifest["grad_norms"] = norms;
  dump.manifest["config"] = test::describe(config);
  dump.manifest["dtype"] = name_of(dtype);
  dump.manifest["label_smoothing"] = kSmoothing;
  dump.manifest["optimizer"] = describe(options);
  for (const ParamTensor& tensor : run.weights.tensors()) {
    if (!tensor.spec.decay) dump.manifest["no_weight_decay"].push_back(tensor.spec.name);
  }
}

template <class T>
void write_case(Backend& backend, const VitConfig& config, DType dtype, const std::filesystem::path& folder,
                const OptimizerConfig& options = kOptions) {
  std::filesystem::create_directories(folder);
  Dump dump(folder);
  write_run<T>(dump, backend, config, dtype, options);
  dump.finish();
}

// The plain network under other rules of the optimizer.
void write_optimizer_cases(Backend& backend, const std::filesystem::path& folder) {
  OptimizerConfig layered = kOptions, all = kOptions;
  layered.layer_decay = 0.7;
  all.decay_all = true;
  all.kind = AdamKind::adam;
  for (const test::NamedConfig& named : test::switch_configs()) {
    if (named.name != "dinov2_registers" && named.name != "clip") continue;
    write_case<float>(backend, named.config, DType::f32, folder / (named.name + "-layer_decay-f32"), layered);
    write_case<double>(backend, named.config, DType::f64, folder / (named.name + "-layer_decay-f64"),
                       layered);
    write_case<double>(backend, named.config, DType::f64, folder / (named.name + "-adam-f64"), all);
  }
}

int main_checked(const std::filesystem::path& folder) {
  const std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::switch_configs()) {
    write_case<float>(*backend, named.config, DType::f32, folder / (named.name + "-f32"));
    write_case<double>(*backend, named.config, DType::f64, folder / (named.name + "-f64"));
  }
  write_optimizer_cases(*backend, folder);
  return 0;
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: torch_parity FOLDER\n";
    return 2;
  }
  return vitrail::main_checked(argv[1]);
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
