#include "tests/support/engine_foreign_weights.h"

#include <stdexcept>

namespace vitrail::test {
namespace {

HostTensor part(const HostTensor& tensor, std::int64_t third) {
  HostTensor result = tensor;
  result.shape[0] /= 3;
  const auto size = static_cast<std::ptrdiff_t>(tensor.values.size() / 3);
  result.values.assign(tensor.values.begin() + third * size, tensor.values.begin() + (third + 1) * size);
  return result;
}

HostTensor transposed(const HostTensor& tensor) {
  const std::int64_t rows = tensor.shape.at(0), columns = tensor.shape.at(1);
  HostTensor result{{columns, rows}, std::vector<float>(tensor.values.size())};
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      result.values[static_cast<std::size_t>(j * rows + i)] =
          tensor.values[static_cast<std::size_t>(i * columns + j)];
  return result;
}

HostTensor reshaped(HostTensor tensor, std::vector<std::int64_t> shape) {
  tensor.shape = std::move(shape);
  return tensor;
}

struct Block {
  std::string number, rest;  // "3", "attn.qkv.weight"
};

// Of "blocks.3.attn.qkv.weight"; an empty number for what is in no block.
Block block_of(const std::string& name) {
  if (!name.starts_with("blocks.")) return {"", name};
  const std::size_t dot = name.find('.', 7);
  return {name.substr(7, dot - 7), name.substr(dot + 1)};
}

std::string swap_start(const std::string& name, const std::map<std::string, std::string>& starts) {
  for (const auto& [ours, theirs] : starts) {
    if (name.starts_with(ours)) return theirs + name.substr(ours.size());
  }
  throw std::runtime_error("no foreign name for " + name);
}

const std::string kQkv = "attn.qkv.";

// `stem`: starts of names outside the blocks, to whole names; `block`: inside, behind `layer` and the number.
HostTensorMap as_hf(const HostTensorMap& ours, const std::map<std::string, std::string>& stem,
                    const std::string& layer, const std::string& qkv_start,
                    const std::vector<std::string>& qkv, const std::map<std::string, std::string>& block) {
  HostTensorMap theirs;
  for (const auto& [name, tensor] : ours) {
    const auto [number, rest] = block_of(name);
    if (number.empty()) {
      theirs[swap_start(name, stem)] = tensor;
    } else if (rest.starts_with(kQkv)) {
      for (std::int64_t third = 0; third < 3; ++third)
        theirs[layer + number + "." + qkv_start + qkv[static_cast<std::size_t>(third)] + "." +
               rest.substr(kQkv.size())] = part(tensor, third);
    } else {
      theirs[layer + number + "." + swap_start(rest, block)] = tensor;
    }
  }
  return theirs;
}

std::map<std::string, std::string> hf_stem(const std::string& prefix, bool distilled) {
  return {{"cls_token", prefix + "embeddings.cls_token"},
          {"dist_token", prefix + "embeddings.distillation_token"},
          {"reg_token", prefix + "embeddings.register_tokens"},
          {"pos_embed", prefix + "embeddings.position_embeddings"},
          {"patch_embed.proj.", prefix + "embeddings.patch_embeddings.projection."},
          {"norm.", prefix + "layernorm."},
          {"head.", distilled ? "cls_classifier." : "classifier."},
          {"head_dist.", "distillation_classifier."}};
}

}  // namespace

HostTensorMap host_tensors(const Backend& backend, const ParamSet& params) {
  HostTensorMap tensors;
  for (const ParamTensor& tensor : params.tensors()) {
    HostTensor& host = tensors[tensor.spec.name];
    const Shape& shape = tensor.spec.shape;
    host.shape.assign(shape.dims.begin(), shape.dims.begin() + shape.rank);
    host.values.resize(static_cast<std::size_t>(shape.elements()));
    backend.download(host.values.data(), tensor.view, host.values.size() * sizeof(float));
  }
  return tensors;
}

HostTensorMap as_hf_vit(const HostTensorMap& ours, const std::string& prefix) {
  return as_hf(ours, hf_stem(prefix, ours.contains("head_dist.weight")), prefix + "encoder.layer.",
               "attention.attention.", {"query", "key", "value"},
               {{"norm1.", "layernorm_before."},
                {"norm2.", "layernorm_after."},
                {"attn.proj.", "attention.output.dense."},
                {"mlp.fc1.", "intermediate.dense."},
                {"mlp.fc2.", "output.dense."}});
}

HostTensorMap as_hf5_vit(const HostTensorMap& ours, const std::string& prefix) {
  return as_hf(ours, hf_stem(prefix, ours.contains("head_dist.weight")), prefix + "layers.", "attention.",
               {"q_proj", "k_proj", "v_proj"},
               {{"norm1.", "layernorm_before."},
                {"norm2.", "layernorm_after."},
                {"attn.proj.", "attention.o_proj."},
                {"mlp.fc1.", "mlp.fc1."},
                {"mlp.fc2.", "mlp.fc2."}});
}

HostTensorMap as_hf_dinov2(const HostTensorMap& ours, const std::string& prefix) {
  return as_hf(ours, hf_stem(prefix, false), prefix + "encoder.layer.", "attention.attention.",
               {"query", "key", "value"},
               {{"norm1.", "norm1."},
                {"norm2.", "norm2."},
                {"attn.proj.", "attention.output.dense."},
                {"ls1.gamma", "layer_scale1.lambda1"},
                {"ls2.gamma", "layer_scale2.lambda1"},
                {"mlp.", "mlp."}});
}

HostTensorMap as_hf_clip(const HostTensorMap& ours) {
  const std::string prefix = "vision_model.";
  HostTensorMap theirs = as_hf(ours,
                               {{"cls_token", prefix + "embeddings.class_embedding"},
                                {"pos_embed", prefix + "embeddings.position_embedding.weight"},
                                {"patch_embed.proj.", prefix + "embeddings.patch_embedding."},
                                {"norm_pre.", prefix + "pre_layrnorm."},
                                {"norm.", prefix + "post_layernorm."},
                                {"head.", "visual_projection."}},
                               prefix + "encoder.layers.", "self_attn.", {"q_proj", "k_proj", "v_proj"},
                               {{"norm1.", "layer_norm1."},
                                {"norm2.", "layer_norm2."},
                                {"attn.proj.", "self_attn.out_proj."},
                                {"mlp.", "mlp."}});
  HostTensor& token = theirs.at(prefix + "embeddings.class_embedding");
  token.shape = {token.shape.back()};
  HostTensor& rows = theirs.at(prefix + "embeddings.position_embedding.weight");
  rows.shape.erase(rows.shape.begin());
  return theirs;
}

HostTensorMap as_openai_clip(const HostTensorMap& ours, const std::string& prefix) {
  HostTensorMap theirs;
  for (const auto& [name, tensor] : ours) {
    const auto [number, rest] = block_of(name);
    if (name == "head.weight") {
      theirs[prefix + "proj"] = transposed(tensor);
    } else if (number.empty()) {
      theirs[prefix + swap_start(name, {{"cls_token", "class_embedding"},
                                        {"pos_embed", "positional_embedding"},
                                        {"patch_embed.proj.", "conv1."},
                                        {"norm_pre.", "ln_pre."},
                                        {"norm.", "ln_post."}})] = tensor;
    } else {
      theirs[prefix + "transformer.resblocks." + number + "." +
             swap_start(rest, {{"norm1.", "ln_1."},
                               {"norm2.", "ln_2."},
                               {"attn.qkv.", "attn.in_proj_"},
                               {"attn.proj.", "attn.out_proj."},
                               {"mlp.fc1.", "mlp.c_fc."},
                               {"mlp.fc2.", "mlp.c_proj."}})] = tensor;
    }
  }
  HostTensor& token = theirs.at(prefix + "class_embedding");
  token.shape = {token.shape.back()};
  HostTensor& rows = theirs.at(prefix + "positional_embedding");
  rows.shape.erase(rows.shape.begin());
  return theirs;
}

HostTensorMap as_jax(const HostTensorMap& ours, std::int64_t heads, bool big_vision) {
  HostTensorMap theirs;
  const std::string attention =
      big_vision ? "MultiHeadDotProductAttention_0/" : "MultiHeadDotProductAttention_1/";
  const std::string norm2 = big_vision ? "LayerNorm_1/" : "LayerNorm_2/";
  const std::string mlp = big_vision ? "MlpBlock_0/" : "MlpBlock_3/";
  for (const auto& [name, tensor] : ours) {
    const auto [number, rest] = block_of(name);
    const bool weight = name.ends_with(".weight");
    const std::string in = "Transformer/encoderblock_" + number + "/";
    const std::string scale = weight ? "scale" : "bias", kernel = weight ? "kernel" : "bias";
    if (name == "cls_token") {
      theirs["cls"] = tensor;
    } else if (name == "pos_embed") {
      theirs[big_vision ? "pos_embedding" : "Transformer/posembed_input/pos_embedding"] = tensor;
    } else if (name == "patch_embed.proj.weight") {
      const std::int64_t d = tensor.shape[0], c = tensor.shape[1], p = tensor.shape[2];
      const HostTensor by_dim = transposed(reshaped(tensor, {d, c * p * p}));  // (c, p, p, d)
      HostTensor result{{p, p, c, d}, by_dim.values};
      for (std::int64_t i = 0; i < p * p; ++i)
        for (std::int64_t j = 0; j < c; ++j)
          for (std::int64_t k = 0; k < d; ++k)
            result.values[static_cast<std::size_t>((i * c + j) * d + k)] =
                by_dim.values[static_cast<std::size_t>((j * p * p + i) * d + k)];
      theirs["embedding/kernel"] = result;
    } else if (name == "patch_embed.proj.bias") {
      theirs["embedding/bias"] = tensor;
    } else if (name.starts_with("norm.")) {
      theirs["Transformer/encoder_norm/" + scale] = tensor;
    } else if (name.starts_with("head.")) {
      theirs["head/" + kernel] = weight ? transposed(tensor) : tensor;
    } else if (rest.starts_with("norm1.")) {
      theirs[in + "LayerNorm_0/" + scale] = tensor;
    } else if (rest.starts_with("norm2.")) {
      theirs[in + norm2 + scale] = tensor;
    } else if (rest.starts_with("mlp.")) {
      theirs[in + mlp + (rest[6] == '1' ? "Dense_0/" : "Dense_1/") + kernel] =
          weight ? transposed(tensor) : tensor;
    } else if (rest.starts_with("attn.proj.")) {
      const std::int64_t d = tensor.shape[0];
      theirs[in + attention + "out/" + kernel] =
          weight ? reshaped(transposed(tensor), {heads, d / heads, d}) : tensor;
    } else {
      const char* names[] = {"query/", "key/", "value/"};
      for (std::int64_t third = 0; third < 3; ++third) {
        const HostTensor one = part(tensor, third);
        const std::int64_t d = one.shape[0];
        theirs[in + attention + names[third] + kernel] =
            weight ? reshaped(transposed(one), {d, heads, d / heads}) : reshaped(one, {heads, d / heads});
      }
    }
  }
  return theirs;
}

HostTensorMap with_prefix(const HostTensorMap& tensors, const std::string& prefix) {
  HostTensorMap result;
  for (const auto& [name, tensor] : tensors)
    result[prefix + name] = tensor;
  return result;
}

WeightFile weight_file(const HostTensorMap& tensors) {
  WeightFile file;
  file.path = "weights.bin";
  file.format = "safetensors";
  for (const auto& [name, tensor] : tensors) {
    file.tensors.push_back(
        {.name = name, .shape = tensor.shape, .bytes = std::as_bytes(std::span(tensor.values))});
  }
  return file;
}

format::Datum datum(const nlohmann::ordered_json& json) {
  using format::Datum;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    Datum::List list;
    for (const auto& item : json)
      list.items.push_back(datum(item));
    return list;
  }
  Datum::Dict dict;
  if (!json.is_object()) return {};
  for (const auto& [key, value] : json.items())
    dict.items.push_back({key, datum(value)});
  return dict;
}

}  // namespace vitrail::test
