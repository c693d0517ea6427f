#include "engine/ready_model.h"

#include <fmt/format.h>

#include <map>

#include "engine/error.h"

namespace vitrail {
namespace {

// The dtype that a model of `own` numbers computes in when `wanted` is asked for.
DType computed_dtype(DType own, DType wanted) {
  if (is_narrow(wanted) && own != DType::f32) {
    throw ConfigError(fmt::format("dtype: expected a model of f32 to compute in {}, found {}",
                                  name_of(wanted), name_of(own)));
  }
  if (wanted == DType::f64 && own != DType::f64)
    throw ConfigError("dtype: expected f32, bf16 or int8 for a model of f32, found f64");
  return is_narrow(wanted) ? wanted : own;
}

// bf16: the original is read piece by piece, and each is let go once it is rounded. int8: a whole matrix, in
// memory for one of them.
void narrow_from_file(Backend& backend, const MappedModel& model, const std::string& name,
                      const NarrowLayer& layer, std::vector<std::byte>& memory) {
  const format::TensorRecord& record = *model.file.find(model.role, name);
  if (layer.weight.dtype == DType::int8) {
    memory.resize(static_cast<std::size_t>(layer.weight.shape.elements()) * sizeof(float));
    model.file.read(record, memory);
    return narrow(backend, layer, {memory.data(), DType::f32, layer.weight.shape});
  }
  const Out flat = reshaped(layer.weight, {layer.weight.shape.elements()});
  model.file.stream(record, [&](std::uint64_t begin, format::Bytes bytes) {
    const auto first = static_cast<std::int64_t>(begin / sizeof(float));
    const auto count = static_cast<std::int64_t>(bytes.size() / sizeof(float));
    backend.run(Cast{.y = rows(flat, first, count), .x = In{bytes.data(), DType::f32, {count}}});
  });
}

// Views of the mapped file, and copies of the matrices, of which nothing has been read yet.
void map_narrow(ReadyModel& model, Backend& backend) {
  std::map<const Out*, std::string> names;
  visit_params(model.config, model.params, [&](const ParamSpec& spec, Out& place) {
    place = {nullptr, DType::f32, spec.shape};
    names[&place] = spec.name;
  });
  std::vector<std::byte> memory;
  model.narrow = narrow_weights(backend, model.params, model.dtype, [&](const NarrowLayer& layer) {
    narrow_from_file(backend, *model.file, names.at(&layer.params.weight), layer, memory);
  });
  visit_params(model.config, model.params, [&](const ParamSpec& spec, Out& place) {
    if (place) return;
    const format::Bytes bytes = model.file->file.read(*model.file->file.find(model.file->role, spec.name));
    place.data = const_cast<std::byte*>(bytes.data());
  });
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
                   .narrow = {}};
  if (is_narrow(dtype)) {
    map_narrow(model, backend);
  } else {
    model.params = mapped_params(*model.file);
  }
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
                   .narrow = {}};
  model.params = model.set->views();
  if (!is_narrow(dtype)) return model;
  model.narrow = narrow_weights(backend, model.params, dtype, [&](const NarrowLayer& layer) {
    narrow(backend, layer, layer.params.weight);
  });
  return model;
}

}  // namespace vitrail
