#include "engine/torch_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <map>
#include <set>

#include "engine/error.h"
#include "engine/optimizer.h"
#include "engine/state_dict.h"
#include "engine/tensor_text.h"
#include "engine/torch_optimizer.h"
#include "engine/transfer.h"

namespace vitrail {
namespace {

using format::TensorRecord;

constexpr const char* kWeightsAlone =
    "; use init=FILE in place of resume_from=FILE to take the weights alone";

// A parameter of the file, and how its group treats it.
struct Source {
  std::string name;
  double lr = 0, initial_lr = 0, weight_decay = 0;
  std::int64_t elements = 0;
};

// The model's tensors, not those of its moving average.
WeightFile plain_model(WeightFile file) {
  if (!file.root.is_none())
    file.tensors = read_state_dict(file.root, file.root_tensors, WeightChoice::plain).tensors;
  for (TensorRecord& tensor : file.tensors)
    tensor.alias_of.clear();
  return file;
}

class TakeOver {
 public:
  TakeOver(const WeightFile& file, Backend& backend, const ImportOptions& options)
      : file_(plain_model(file)),
        backend_(backend),
        options_(options),
        optimizer_(read_torch_optimizer(file)) {
    name_sources();
  }

  TorchTraining run(std::optional<AdamKind> kind);

 private:
  using Moments = TorchOptimizer::Moments;

  void name_sources();
  ParamSet moments(std::size_t Moments::*member) const;
  std::optional<ParamSet> average() const;
  void trace();
  std::size_t source_of(float mark, const ParamTensor& tensor) const;
  void check_joined(const std::set<std::size_t>& from, const std::string& name) const;
  void read_settings(TorchTraining& training, std::optional<AdamKind> kind) const;
  void read_layers(TorchTraining& training) const;
  void read_decay(TorchTraining& training) const;

  WeightFile file_;
  Backend& backend_;
  const ImportOptions& options_;
  TorchOptimizer optimizer_;
  std::vector<Source> sources_;                 // by number of the parameter
  std::map<std::string, std::size_t> numbers_;  // by the file's name
  std::map<std::string, std::size_t> made_of_;  // by our name: a source that it is made of
};

void TakeOver::name_sources() {
  const std::vector<std::string> names = parameter_names(optimizer_, file_.tensors, file_.root_tensors);
  std::map<std::string, std::int64_t> elements;
  for (const TensorRecord& tensor : file_.tensors)
    elements[tensor.name] = element_count(tensor.shape);
  sources_.resize(names.size());
  for (const TorchGroup& group : optimizer_.groups) {
    for (const std::int64_t number : group.params) {
      const auto at = static_cast<std::size_t>(number);
      if (!optimizer_.state.contains(number)) {
        throw ConfigError(
            fmt::format("the optimizer's moments of {} are missing, and training would go on "
                        "differently without them{}",
                        names[at], kWeightsAlone));
      }
      sources_[at] = {names[at], group.lr, group.initial_lr.value_or(group.lr), group.weight_decay,
                      elements[names[at]]};
      if (!numbers_.emplace(names[at], at).second)
        throw ConfigError(fmt::format("the optimizer's param_names hold '{}' twice", names[at]));
    }
  }
}

// Moments are renamed and joined as the parameters are, by the same hands.
ParamSet TakeOver::moments(std::size_t Moments::*member) const {
  WeightFile other = file_;
  std::list<std::vector<float>> zeros;
  for (TensorRecord& tensor : other.tensors) {
    const auto number = numbers_.find(tensor.name);
    if (number == numbers_.end()) {
      zeros.emplace_back(static_cast<std::size_t>(element_count(tensor.shape)));
      tensor.type = format::ElementType::f32;
      tensor.bytes = std::as_bytes(std::span(zeros.back()));
    } else {
      const TensorRecord& moment =
          file_.root_tensors[optimizer_.state.at(static_cast<std::int64_t>(number->second)).*member];
      tensor.type = moment.type;
      tensor.bytes = moment.bytes;
    }
  }
  return import_model(other, backend_, options_).model.params;
}

std::optional<ParamSet> TakeOver::average() const {
  if (find_ema_state_dict(file_.root) == nullptr) return std::nullopt;
  WeightFile other = file_;
  other.tensors = read_state_dict(file_.root, file_.root_tensors, WeightChoice::ema).tensors;
  return import_model(other, backend_, options_).model.params;
}

std::size_t TakeOver::source_of(float mark, const ParamTensor& tensor) const {
  const double whole = std::floor(double(mark));
  if (whole != double(mark) || whole < 1 || whole > double(sources_.size())) {
    throw ConfigError(fmt::format("the file's optimizer has no moments for {}; was it frozen?{}",
                                  tensor.spec.name, kWeightsAlone));
  }
  return static_cast<std::size_t>(whole) - 1;
}

// Follows marks through the import: what each parameter here is made of. Each element has to arrive once, or
// the moments would not fit their parameters.
void TakeOver::trace() {
  WeightFile marked = file_;
  std::list<std::vector<float>> marks;
  for (TensorRecord& tensor : marked.tensors) {
    const auto number = numbers_.find(tensor.name);
    const float mark = number == numbers_.end() ? 0 : static_cast<float>(number->second + 1);
    marks.emplace_back(static_cast<std::size_t>(element_count(tensor.shape)), mark);
    tensor.type = format::ElementType::f32;
    tensor.bytes = std::as_bytes(std::span(marks.back()));
  }
  const ImportedModel imported = import_model(marked, backend_, options_);
  std::vector<std::int64_t> arrived(sources_.size());
  for (const ParamTensor& tensor : imported.model.params.tensors()) {
    std::vector<float> values(static_cast<std::size_t>(tensor.spec.shape.elements()));
    download_floats(backend_, values, tensor.view);
    std::set<std::size_t> from;
    for (const float value : values) {
      const std::size_t number = source_of(value, tensor);
      ++arrived[number];
      from.insert(number);
    }
    check_joined(from, tensor.spec.name);
    made_of_[tensor.spec.name] = *from.begin();
  }
  for (std::size_t number = 0; number < sources_.size(); ++number) {
    if (arrived[number] == sources_[number].elements) continue;
    throw ConfigError(
        fmt::format("{} is trained by the file's optimizer, and has no place of its own in the network "
                    "here{}",
                    sources_[number].name, kWeightsAlone));
  }
}

void TakeOver::check_joined(const std::set<std::size_t>& from, const std::string& name) const {
  const Source& first = sources_[*from.begin()];
  for (const std::size_t number : from) {
    const Source& source = sources_[number];
    if (source.lr == first.lr && source.weight_decay == first.weight_decay) continue;
    throw ConfigError(
        fmt::format("{} and {} are one parameter here, {}, and have different lr or weight_decay in "
                    "the file{}",
                    first.name, source.name, name, kWeightsAlone));
  }
}

void TakeOver::read_settings(TorchTraining& training, std::optional<AdamKind> kind) const {
  OptimizerConfig& opt = training.opt;
  opt.beta1 = optimizer_.beta1;
  opt.beta2 = optimizer_.beta2;
  opt.eps = optimizer_.eps;
  training.step = optimizer_.step;
  read_layers(training);
  read_decay(training);
  if (!optimizer_.kind && !kind && opt.weight_decay != 0) {
    throw ConfigError(
        "the file does not say whether its weight decay is AdamW's or Adam's; use opt.kind=adamw or "
        "opt.kind=adam");
  }
  if (optimizer_.kind && kind && *kind != *optimizer_.kind) {
    throw ConfigError(fmt::format("opt.kind: expected {}, which the file was trained with, found {}",
                                  name_of(*optimizer_.kind), name_of(*kind)));
  }
  opt.kind = optimizer_.kind.value_or(kind.value_or(AdamKind::adamw));
}

// lr, and the factor between layers: what a scheduler began with tells it also where lr has become 0.
void TakeOver::read_layers(TorchTraining& training) const {
  double lr = 0, top = 0;
  for (const Source& source : sources_) {
    lr = std::max(lr, source.lr);
    top = std::max(top, source.initial_lr);
  }
  training.opt.lr = lr;
  if (optimizer_.groups[0].initial_lr) training.initial_lr = top;
  const std::int64_t last = training.import.config.depth + 1;
  const auto tensors = training.model.params.tensors();
  const auto scale_of = [&](const ParamTensor& tensor) {
    return top > 0 ? sources_[made_of_.at(tensor.spec.name)].initial_lr / top : 1;
  };
  const auto lower = std::find_if(tensors.begin(), tensors.end(), [&](const ParamTensor& tensor) {
    return scale_of(tensor) < 1 && tensor.spec.layer < last;
  });
  if (lower != tensors.end()) {
    const double decay = std::pow(scale_of(*lower), 1 / double(last - lower->spec.layer));
    training.opt.layer_decay = std::round(decay * 1e9) / 1e9;
  }
  for (const ParamTensor& tensor : tensors) {
    const double expected = std::pow(training.opt.layer_decay, double(last - tensor.spec.layer));
    if (std::abs(scale_of(tensor) - expected) <= 1e-6 * expected) continue;
    throw ConfigError(
        fmt::format("the optimizer's groups: the learning rate of {} is {:.6g} of the largest, which "
                    "neither one rate for all nor opt.layer_decay gives{}",
                    tensor.spec.name, scale_of(tensor), kWeightsAlone));
  }
}

void TakeOver::read_decay(TorchTraining& training) const {
  const auto least = std::min_element(sources_.begin(), sources_.end(), [](const Source& a, const Source& b) {
    return a.weight_decay < b.weight_decay;
  });
  const auto most = std::max_element(sources_.begin(), sources_.end(), [](const Source& a, const Source& b) {
    return a.weight_decay < b.weight_decay;
  });
  OptimizerConfig& opt = training.opt;
  opt.weight_decay = most->weight_decay;
  opt.decay_all = most->weight_decay != 0 && least->weight_decay == most->weight_decay;
  for (const ParamTensor& tensor : training.model.params.tensors()) {
    const double expected = group_of(tensor.spec, training.import.config, opt).weight_decay;
    const double found = sources_[made_of_.at(tensor.spec.name)].weight_decay;
    if (found == expected) continue;
    throw ConfigError(
        fmt::format("the optimizer's groups: the weight decay of {} is {}, expected {}: Vitrail has one "
                    "for all parameters, or one for all matrices and none for biases, norms, tokens and "
                    "position embedding{}",
                    tensor.spec.name, found, expected, kWeightsAlone));
  }
}

TorchTraining TakeOver::run(std::optional<AdamKind> kind) {
  trace();
  ImportedModel weights = import_model(file_, backend_, options_);
  TorchTraining training{.import = std::move(weights.import),
                         .model = std::move(weights.model),
                         .first_moment = moments(&Moments::first),
                         .second_moment = moments(&Moments::second),
                         .ema = average(),
                         .opt = {},
                         .initial_lr = {},
                         .step = 0};
  read_settings(training, kind);
  return training;
}

}  // namespace

TorchTraining take_over(const WeightFile& file, Backend& backend, const ImportOptions& options,
                        std::optional<AdamKind> kind) {
  return TakeOver(file, backend, options).run(kind);
}

}  // namespace vitrail
