#include "engine/import_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "engine/error.h"
#include "engine/families/family.h"
#include "engine/families/values.h"

namespace vitrail {
namespace {

using families::Family;
using families::Piece;
using families::Renamed;

// What a file holds, and what becomes of it.
struct Plan {
  Renamed renamed;
  Family family;
  Import import;
  bool new_head = false;
};

bool head_is_new(const Family& family, const ImportOptions& options) {
  return options.num_classes && (family.headless || *options.num_classes != family.config.num_classes);
}

families::Resampling resampling_of(const Renamed& renamed) {
  return renamed.naming->library == families::Library::jax ? families::Resampling::bilinear
                                                           : families::Resampling::bicubic_antialiased;
}

void describe_file(const WeightFile& file, const Plan& plan, std::vector<std::string>& lines) {
  const VitConfig& c = plan.family.config;
  lines.push_back(
      fmt::format("{}: {} blocks of width {}, patches of {} in images of {} × {}, {} channels, {}",
                  plan.family.name, c.depth, c.embed_dim, c.patch_size, c.img_size, c.img_size, c.in_chans,
                  plan.family.headless ? std::string("no head") : fmt::format("{} classes", c.num_classes)));
  if (!plan.renamed.prefix.empty()) {
    lines.push_back(fmt::format("its tensors are those under '{}'", plan.renamed.prefix));
  }
  for (const auto& [what, count] : plan.renamed.left_out)
    lines.push_back(fmt::format("left out: {} ({} tensor{})", what, count, count == 1 ? "" : "s"));
  lines.insert(lines.end(), plan.family.lines.begin(), plan.family.lines.end());
  lines.insert(lines.end(), file.notes.begin(), file.notes.end());
}

void describe_fitting(const Plan& plan, std::vector<std::string>& lines) {
  const VitConfig &from = plan.family.config, &to = plan.import.config;
  const bool bilinear = resampling_of(plan.renamed) == families::Resampling::bilinear;
  const char* how =
      bilinear ? "bilinear, as timm does for JAX's files" : "bicubic, antialiased, as timm does";
  if (from.grid() != to.grid()) {
    lines.push_back(fmt::format("position embedding resized from {} × {} to {} × {} patches ({})",
                                from.grid(), from.grid(), to.grid(), to.grid(), how));
  }
  if (from.patch_size != to.patch_size) {
    lines.push_back(fmt::format("patch kernels resized from {} to {} pixels (pseudo-inverse, {})",
                                from.patch_size, to.patch_size, how));
  }
  if (from.in_chans != to.in_chans) {
    lines.push_back(fmt::format("patch kernels fitted from {} to {} channels ({})", from.in_chans,
                                to.in_chans, to.in_chans == 1 ? "summed" : "repeated and scaled"));
  }
  if (plan.new_head) {
    lines.push_back(plan.family.headless
                        ? fmt::format("a new head for {} classes", to.num_classes)
                        : fmt::format("the head of {} classes is replaced by a new one for {}",
                                      from.num_classes, to.num_classes));
  } else if (plan.family.headless) {
    lines.push_back(
        "no head in the file: the model's output is the features (a number of classes makes a new head)");
  }
}

// Of grey images, the mean of the channels' values; of more channels than there were, theirs again.
void fit_input(InputConfig& input, const VitConfig& to) {
  const std::int64_t from = input.channels;
  const auto fit = [&](std::array<double, 4>& values) {
    if (to.in_chans == 1 && from > 1) {
      double sum = 0;
      for (std::int64_t c = 0; c < from; ++c)
        sum += values[static_cast<std::size_t>(c)];
      values.fill(sum / static_cast<double>(from));
    }
    for (std::int64_t c = from; c < 4; ++c)
      values[static_cast<std::size_t>(c)] = values[static_cast<std::size_t>(c % from)];
  };
  fit(input.mean);
  fit(input.std);
  input.size = to.img_size;
  input.channels = to.in_chans;
}

// The columns that read the mean of the patches must be zero.
void check_wide_head(const Plan& plan) {
  const std::vector<float> values = families::to_f32(plan.renamed.pieces.at("head.weight").front());
  const std::int64_t dim = plan.family.config.embed_dim;
  for (auto row = values.begin(); row != values.end(); row += 2 * dim) {
    if (std::all_of(row + dim, row + 2 * dim, [](float value) { return value == 0; })) continue;
    throw ConfigError(
        "classifier.weight reads the mean of the patches beside the class token, which our head cannot; give "
        "the number of classes to get a new head");
  }
}

Plan make_plan(const WeightFile& file, const ImportOptions& options) {
  Plan plan;
  plan.renamed = families::rename_tensors(file);
  families::Facts facts = families::read_facts(file, options);
  plan.family = families::find_family(file, plan.renamed, facts, options.num_classes.has_value());
  plan.new_head = head_is_new(plan.family, options);
  if (plan.family.wide_head) check_wide_head(plan);

  VitConfig& to = plan.import.config = plan.family.config;
  to.img_size = options.img_size.value_or(to.img_size);
  to.patch_size = options.patch_size.value_or(to.patch_size);
  to.in_chans = options.in_chans.value_or(to.in_chans);
  if (plan.new_head) {
    to.num_classes = *options.num_classes;
    to.head_bias = true;
  } else if (plan.family.headless) {
    to.num_classes = to.embed_dim;
    to.head_bias = false;
  }
  to.check();
  plan.import.family = plan.family.name;
  plan.import.input = plan.family.input;
  fit_input(plan.import.input, to);
  if (static_cast<std::int64_t>(facts.labels.size()) == to.num_classes && !plan.new_head &&
      !plan.family.headless) {
    plan.import.labels = facts.labels;
  }
  describe_file(file, plan, plan.import.lines);
  describe_fitting(plan, plan.import.lines);
  return plan;
}

// Fills the parameters of a model from the pieces of a plan.
class Filler {
 public:
  Filler(const WeightFile& file, const Plan& plan, Backend& backend, const ParamSet& params)
      : file_(file), plan_(plan), backend_(backend), params_(params) {}

  void fill() {
    for (const ParamTensor& tensor : params_.tensors()) {
      const auto found = plan_.renamed.pieces.find(tensor.spec.name);
      const bool head = tensor.spec.name.starts_with("head");
      if (head && plan_.new_head) continue;
      if (head && plan_.family.headless) {
        fill_identity(tensor);
      } else {
        for (const Piece& piece : found->second) {
          fill_piece(tensor, piece);
          if (file_.release) file_.release(piece.bytes);
        }
      }
    }
  }

 private:
  void fill_piece(const ParamTensor& tensor, const Piece& piece) {
    const Out place = third(tensor.view, piece.part);
    const bool changes = needs_fitting(tensor.spec.name);
    if (families::ready(piece) && !changes) {
      assert(piece.bytes.size() == static_cast<std::size_t>(place.shape.elements()) * sizeof(float));
      backend_.upload(place, piece.bytes.data(), piece.bytes.size());
      return;
    }
    std::vector<float> values = families::to_f32(piece);
    if (changes) values = fitted(tensor.spec.name, std::move(values));
    assert(static_cast<std::int64_t>(values.size()) == place.shape.elements());
    backend_.upload(place, values.data(), values.size() * sizeof(float));
  }

  static Out third(Out view, families::Part part) {
    if (part == families::Part::whole) return view;
    const std::int64_t dim = view.shape[0] / 3;
    return rows(view, (static_cast<std::int64_t>(part) - 1) * dim, dim);
  }

  bool needs_fitting(const std::string& name) const {
    const VitConfig &from = plan_.family.config, &to = plan_.import.config;
    if (name == "pos_embed") return plan_.family.fold_class_position || from.grid() != to.grid();
    if (name == "cls_token") return plan_.family.fold_class_position;
    if (name == "head.weight") return plan_.family.wide_head;
    return name == "patch_embed.proj.weight" &&
           (from.patch_size != to.patch_size || from.in_chans != to.in_chans);
  }

  std::vector<float> fitted(const std::string& name, std::vector<float> values) const {
    if (name == "pos_embed") return fitted_positions(std::move(values));
    if (name == "cls_token") return with_class_position(std::move(values));
    if (name == "head.weight") return first_half(values);
    return fitted_patches(std::move(values));
  }

  std::vector<float> fitted_positions(std::vector<float> values) const {
    const VitConfig &from = plan_.family.config, &to = plan_.import.config;
    if (plan_.family.fold_class_position) values.erase(values.begin(), values.begin() + from.embed_dim);
    if (from.grid() == to.grid()) return values;
    const std::int64_t prefix = from.no_embed_class ? 0 : from.prefix();
    return families::fit_positions(values, prefix, from.grid(), to.grid(), from.embed_dim,
                                   resampling_of(plan_.renamed));
  }

  std::vector<float> with_class_position(std::vector<float> token) const {
    const std::vector<float> rows = families::to_f32(plan_.renamed.pieces.at("pos_embed").front());
    for (std::size_t i = 0; i < token.size(); ++i)
      token[i] += rows[i];
    return token;
  }

  std::vector<float> fitted_patches(std::vector<float> values) const {
    const VitConfig &from = plan_.family.config, &to = plan_.import.config;
    if (from.in_chans != to.in_chans) {
      values = families::fit_channels(values, from.in_chans, to.in_chans, from.patch_size * from.patch_size);
    }
    if (from.patch_size == to.patch_size) return values;
    return families::fit_patches(values, from.patch_size, to.patch_size, resampling_of(plan_.renamed));
  }

  // The columns that read the class token.
  std::vector<float> first_half(const std::vector<float>& values) const {
    const std::int64_t dim = plan_.family.config.embed_dim;
    std::vector<float> half;
    for (auto row = values.begin(); row != values.end(); row += 2 * dim)
      half.insert(half.end(), row, row + dim);
    return half;
  }

  void fill_identity(const ParamTensor& tensor) {
    const auto dim = static_cast<std::size_t>(tensor.spec.shape[0]);
    std::vector<float> values(dim * dim);
    for (std::size_t i = 0; i < dim; ++i)
      values[i * dim + i] = 1;
    backend_.upload(tensor.view, values.data(), values.size() * sizeof(float));
  }

  const WeightFile& file_;
  const Plan& plan_;
  Backend& backend_;
  const ParamSet& params_;
};

}  // namespace

Import recognise(const WeightFile& file, const ImportOptions& options) {
  return make_plan(file, options).import;
}

ImportedModel import_model(const WeightFile& file, Backend& backend, const ImportOptions& options,
                           std::uint64_t seed) {
  const Plan plan = make_plan(file, options);
  const Import& import = plan.import;
  ImportedModel result{
      import, {import.config, import.input, import.labels, ParamSet(backend, import.config, DType::f32)}};
  if (plan.new_head) {
    init_params(backend, import.config, result.model.params, seed,
                [](const ParamSpec& spec) { return spec.name.starts_with("head"); });
  }
  Filler(file, plan, backend, result.model.params).fill();
  return result;
}

}  // namespace vitrail
