#include "engine/narrow_weights.h"

#include "engine/compute_weights.h"

namespace vitrail {
namespace {

NarrowLayer take(Arena& arena, LinearParams& params, DType dtype) {
  const std::int64_t out = params.weight.shape[0];
  NarrowLayer layer{params, arena.take(dtype, params.weight.shape), {}, {}};
  if (dtype == DType::int8) {
    layer.scale = arena.take(DType::f32, {out});
    layer.sum = arena.take(DType::f32, {out});
  }
  return layer;
}

template <class Visit>
void visit_matrices(VitParams& params, DType dtype, Visit&& visit) {
  visit_product_layers(params, [&](LinearParams& layer) {
    if (dtype == DType::bf16 || &layer != &params.patch_embed) visit(layer);
  });
}

}  // namespace

bool is_narrow(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::int8;
}

DType activations_dtype(DType dtype) {
  return dtype == DType::int8 ? DType::f32 : dtype;
}

Arena narrow_weights(Backend& backend, VitParams& params, DType dtype,
                     const std::function<void(const NarrowLayer&)>& fill) {
  Arena arena;
  visit_matrices(params, dtype, [&](LinearParams& linear) { take(arena, linear, dtype); });
  arena.allocate(backend);
  arena.restart();
  visit_matrices(params, dtype, [&](LinearParams& linear) {
    const NarrowLayer layer = take(arena, linear, dtype);
    fill(layer);
    linear.weight = layer.weight;
    if (layer.scale) linear.quantized = {layer.scale, layer.sum};
  });
  return arena;
}

void narrow(Backend& backend, const NarrowLayer& layer, In from) {
  if (layer.weight.dtype == DType::int8) {
    backend.run(QuantizeRows{.y = layer.weight, .scale = layer.scale, .sum = layer.sum, .x = from});
  } else {
    backend.run(Cast{.y = layer.weight, .x = from});
  }
}

}  // namespace vitrail
