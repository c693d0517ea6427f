// Writes what check_torch.py compares with PyTorch: for each switch and dtype a folder with weights, a batch,
// the engine's logits, loss, gradients, and ten steps of AdamW (schedule and clipping included).
//   torch_parity FOLDER

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/micro_batch.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "engine/vit.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

constexpr std::int64_t kBatch = 6;
constexpr int kSteps = 10;
constexpr double kSmoothing = 0.1;

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

json describe(const VitConfig& c) {
  return {
      {"img_size", c.img_size},       {"patch_size", c.patch_size},   {"in_chans", c.in_chans},
      {"num_classes", c.num_classes}, {"embed_dim", c.embed_dim},     {"depth", c.depth},
      {"num_heads", c.num_heads},     {"mlp_dim", c.mlp_dim},         {"class_token", c.class_token},
      {"dist_token", c.dist_token},   {"reg_tokens", c.reg_tokens},   {"no_embed_class", c.no_embed_class},
      {"pre_norm", c.pre_norm},       {"layer_scale", c.layer_scale}, {"global_pool", name_of(c.global_pool)},
      {"fc_norm", c.fc_norm},         {"gelu", name_of(c.gelu)},      {"norm_eps", c.norm_eps},
      {"patch_bias", c.patch_bias},   {"qkv_bias", c.qkv_bias},       {"proj_bias", c.proj_bias},
      {"head_bias", c.head_bias}};
}

template <class T>
class Run {
 public:
  Run(Backend& backend, const VitConfig& config, DType dtype)
      : backend_(backend),
        config_(config),
        micro_(backend, config, dtype, kBatch),
        vit_(backend, config, dtype, kBatch, VitMode::training),
        weights_(backend, config, dtype),
        grads_(backend, config, dtype),
        optimizer_(backend, config, options(), weights_) {
    test::randomize(backend, weights_, 21);
  }

  void write(Dump& dump) {
    dump_params<T>(dump, backend_, "weight.", weights_);
    upload_batch(dump);
    std::vector<double> losses{loss_and_gradients()};
    dump.add("logits", logits_, {kBatch, config_.num_classes});
    dump_params<T>(dump, backend_, "grad.", grads_);
    std::vector<double> norms;
    for (int step = 0; step < kSteps; ++step) {
      if (step > 0) losses.push_back(loss_and_gradients());
      norms.push_back(optimizer_.grad_norm(grads_));
      optimizer_.step(weights_, grads_, nullptr, step + 1, lr_at(schedule(), options().lr, step, kSteps), 0);
    }
    dump_params<T>(dump, backend_, "after.", weights_);
    dump_params<T>(dump, backend_, "first_moment.", optimizer_.first_moment());
    dump_params<T>(dump, backend_, "second_moment.", optimizer_.second_moment());
    dump.manifest["losses"] = losses;
    dump.manifest["grad_norms"] = norms;
    describe_training(dump.manifest);
  }

 private:
  static OptimizerConfig options() { return {.lr = 3e-3, .weight_decay = 0.1, .clip_norm = 0.5}; }
  static ScheduleConfig schedule() {
    return {.kind = ScheduleKind::cosine, .warmup_steps = 3, .min_lr = 1e-4};
  }

  void describe_training(json& manifest) const {
    manifest["config"] = describe(config_);
    manifest["dtype"] = name_of(weights_.dtype());
    manifest["label_smoothing"] = kSmoothing;
    manifest["optimizer"] = {{"lr", options().lr},
                             {"weight_decay", options().weight_decay},
                             {"clip_norm", options().clip_norm},
                             {"warmup_steps", schedule().warmup_steps},
                             {"min_lr", schedule().min_lr},
                             {"steps", kSteps}};
    for (const ParamTensor& tensor : weights_.tensors()) {
      if (!tensor.spec.decay) manifest["no_weight_decay"].push_back(tensor.spec.name);
    }
  }

  void upload_batch(Dump& dump) {
    std::vector<T> images(static_cast<std::size_t>(micro_.images.shape.elements()));
    for (std::size_t i = 0; i < images.size(); ++i) {
      images[i] = T(2 * uniform(random4({9, Purpose::init, 2}, 0, static_cast<std::uint32_t>(i))[0]) - 1);
    }
    std::vector<T> targets(static_cast<std::size_t>(micro_.targets.shape.elements()));
    for (std::int64_t i = 0; i < kBatch; ++i) {
      targets[static_cast<std::size_t>(i * config_.num_classes + i % config_.num_classes)] = T(0.75);
      targets[static_cast<std::size_t>(i * config_.num_classes + (i + 1) % config_.num_classes)] = T(0.25);
    }
    backend_.upload(micro_.images, images.data(), images.size() * sizeof(T));
    backend_.upload(micro_.targets, targets.data(), targets.size() * sizeof(T));
    dump.add("images", images, {kBatch, config_.in_chans, config_.img_size, config_.img_size});
    dump.add("targets", targets, {kBatch, config_.num_classes});
  }

  double loss_and_gradients() {
    backend_.zero(grads_.flat());
    const In logits = vit_.forward(weights_.views(), micro_.images);
    backend_.run(CrossEntropy{.losses = micro_.losses,
                              .dlogits = micro_.dlogits,
                              .logits = logits,
                              .targets = micro_.targets,
                              .label_smoothing = kSmoothing,
                              .scale = 1.0 / kBatch});
    vit_.backward(weights_.views(), grads_.views(), micro_.dlogits, {});
    logits_.resize(static_cast<std::size_t>(logits.shape.elements()));
    backend_.download(logits_.data(), logits, logits_.size() * sizeof(T));
    std::vector<T> each(kBatch);
    backend_.download(each.data(), micro_.losses, each.size() * sizeof(T));
    double sum = 0;
    for (T loss : each)
      sum += loss;
    return sum / kBatch;
  }

  Backend& backend_;
  VitConfig config_;
  MicroBatch micro_;
  Vit vit_;
  ParamSet weights_, grads_;
  Optimizer optimizer_;
  std::vector<T> logits_;
};

template <class T>
void write_case(Backend& backend, const VitConfig& config, DType dtype, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  Dump dump(folder);
  Run<T>(backend, config, dtype).write(dump);
  dump.finish();
}

int main_checked(const std::filesystem::path& folder) {
  const std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::switch_configs()) {
    write_case<float>(*backend, named.config, DType::f32, folder / (named.name + "-f32"));
    write_case<double>(*backend, named.config, DType::f64, folder / (named.name + "-f64"));
  }
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
