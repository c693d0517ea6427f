#include "engine/ready_model.h"

#include <fmt/format.h>

#include "engine/compute_weights.h"
#include "engine/error.h"

namespace vitrail {
namespace {

constexpr std::int64_t kAlignment = 32;  // elements of bf16: 64 bytes

void require_f32(DType found) {
  if (found != DType::f32) {
    throw ConfigError(
        fmt::format("dtype: expected a model of f32 to compute in bf16, found {}", name_of(found)));
  }
}

// The dtype that a model of `own` numbers computes in when `wanted` is asked for.
DType computed_dtype(DType own, DType wanted) {
  if (wanted == DType::bf16) require_f32(own);
  if (wanted == DType::f64 && own != DType::f64)
    throw ConfigError("dtype: expected f32 or bf16 for a model of f32, found f64");
  return wanted == DType::bf16 ? wanted : own;
}

// Bytes for bf16 copies of the matrices, one behind the other.
std::size_t rounded_bytes(VitParams params) {
  std::int64_t elements = 0;
  visit_product_weights(params, [&](Out& place) {
    elements += (place.shape.elements() + kAlignment - 1) / kAlignment * kAlignment;
  });
  return static_cast<std::size_t>(elements) * size_of(DType::bf16);
}

// Puts bf16 copies in the place of the matrices; fill(copy, original) sets each.
template <class Fill>
void round_matrices(ReadyModel& model, Backend& backend, const Fill& fill) {
  model.rounded = Buffer(backend, rounded_bytes(model.params));
  std::byte* next = model.rounded.data();
  visit_product_weights(model.params, [&](Out& place) {
    const Out copy{next, DType::bf16, place.shape};
    fill(copy, place);
    place = copy;
    next += (place.shape.elements() + kAlignment - 1) / kAlignment * kAlignment *
            std::int64_t(size_of(DType::bf16));
  });
}

// The original is read piece by piece, and each is let go once it is rounded.
void round_from_file(Backend& backend, const MappedModel& model, const std::string& name, Out copy) {
  const Out flat = reshaped(copy, {copy.shape.elements()});
  model.file.stream(*model.file.find(model.role, name), [&](std::uint64_t begin, format::Bytes bytes) {
    const auto first = static_cast<std::int64_t>(begin / sizeof(float));
    const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(float));
    backend.run(Cast{.y = rows(flat, first, count), .x = In{bytes.data(), DType::f32, {count}}});
  });
}

// Views of the mapped file, of the matrices too, which nobody has read yet.
ReadyModel map_rounded(ReadyModel model, Backend& backend) {
  const MappedModel& file = *model.file;
  std::map<const Out*, std::string> matrices;
  visit_product_weights(model.params, [&](Out& place) { matrices[&place] = ""; });
  visit_params(model.config, model.params, [&](const ParamSpec& spec, Out& place) {
    const auto matrix = matrices.find(&place);
    if (matrix != matrices.end()) {
      matrix->second = spec.name;
      place = {nullptr, DType::f32, spec.shape};
    } else {
      const format::Bytes bytes = file.file.read(*file.file.find(file.role, spec.name));
      place = {const_cast<std::byte*>(bytes.data()), DType::f32, spec.shape};
    }
  });
  round_matrices(model, backend, [&](Out copy, const Out& original) {
    round_from_file(backend, file, matrices.at(&original), copy);
  });
  return model;
}

}  // namespace

ReadyModel open_ready(const std::filesystem::path& path, Backend& backend, DType dtype, WeightChoice choice) {
  MappedModel mapped = map_model(path, choice);
  const std::byte probe{};
  if (backend.host_bytes(In{&probe, DType::f32, {1}}) == nullptr)
    return make_ready(load_model(path, backend, choice), backend, dtype);
  ReadyModel model{.config = mapped.config,
                   .input = mapped.input,
                   .labels = mapped.labels,
                   .dtype = computed_dtype(mapped.dtype, dtype),
                   .params = {},
                   .file = std::move(mapped),
                   .set = {},
                   .rounded = {}};
  if (dtype == DType::bf16) {
    model.params.blocks.resize(static_cast<std::size_t>(model.config.depth));
    return map_rounded(std::move(model), backend);
  }
  model.params = mapped_params(*model.file);
  return model;
}

ReadyModel make_ready(Model from, Backend& backend, DType dtype) {
  ReadyModel model{.config = from.config,
                   .input = from.input,
                   .labels = from.labels,
                   .dtype = computed_dtype(from.params.dtype(), dtype),
                   .params = {},
                   .file = {},
                   .set = std::move(from.params),
                   .rounded = {}};
  model.params = model.set->views();
  if (dtype != DType::bf16) return model;
  round_matrices(model, backend,
                 [&](Out copy, const Out& original) { backend.run(Cast{.y = copy, .x = original}); });
  return model;
}

}  // namespace vitrail
