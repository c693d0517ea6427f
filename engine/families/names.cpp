#include "engine/families/names.h"

#include "format/container.h"

namespace vitrail::families {
namespace {

// timm/models/vision_transformer.py, deit.py; the same names in the originals of DeiT, DINO and MAE.
constexpr NameRow kTimm[] = {
    {"cls_token", "cls_token"},
    {"reg_token", "reg_token"},
    {"pos_embed", "pos_embed"},
    {"dist_token", "dist_token"},
    {"patch_embed.proj.*", "patch_embed.proj.*"},
    {"norm_pre.*", "norm_pre.*"},
    {"blocks.#.norm1.*", "blocks.#.norm1.*"},
    {"blocks.#.attn.qkv.*", "blocks.#.attn.qkv.*"},
    {"blocks.#.attn.proj.*", "blocks.#.attn.proj.*"},
    {"blocks.#.ls1.gamma", "blocks.#.ls1.gamma"},
    {"blocks.#.norm2.*", "blocks.#.norm2.*"},
    {"blocks.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
    {"blocks.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
    {"blocks.#.ls2.gamma", "blocks.#.ls2.gamma"},
    {"norm.*", "norm.*"},
    {"fc_norm.*", "fc_norm.*"},
    {"head.*", "head.*"},
    {"head_dist.*", "head_dist.*"},
};

// What the originals call otherwise: DeiT III (facebookresearch/deit, models_v2.py), DINOv2
// (facebookresearch/dinov2, models/vision_transformer.py), OpenCLIP's projection behind a timm tower.
constexpr NameRow kOriginals[] = {
    {"blocks.#.gamma_1", "blocks.#.ls1.gamma"},
    {"blocks.#.gamma_2", "blocks.#.ls2.gamma"},
    {"register_tokens", "reg_token"},
    {"^visual.head.proj.*", "head.*"},
};

// transformers/models/vit/modeling_vit.py and its kin: what all of them share.
constexpr NameRow kHfStem[] = {
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
    {"layernorm.*", "norm.*"},
};

constexpr NameRow kHfClassifier[] = {
    {"^classifier.*", "head.*"},
};

constexpr NameRow kHfAttention[] = {
    {"encoder.layer.#.attention.attention.query.*", "blocks.#.attn.qkv.*", Part::query},
    {"encoder.layer.#.attention.attention.key.*", "blocks.#.attn.qkv.*", Part::key},
    {"encoder.layer.#.attention.attention.value.*", "blocks.#.attn.qkv.*", Part::value},
    {"encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"},
};

constexpr NameRow kHfBlock[] = {
    {"encoder.layer.#.layernorm_before.*", "blocks.#.norm1.*"},
    {"encoder.layer.#.layernorm_after.*", "blocks.#.norm2.*"},
    {"encoder.layer.#.intermediate.dense.*", "blocks.#.mlp.fc1.*"},
    {"encoder.layer.#.output.dense.*", "blocks.#.mlp.fc2.*"},
};

// transformers/models/deit/modeling_deit.py, DeiTForImageClassificationWithTeacher.
constexpr NameRow kHfDistilled[] = {
    {"embeddings.distillation_token", "dist_token"},
    {"^cls_classifier.*", "head.*"},
    {"^distillation_classifier.*", "head_dist.*"},
};

// transformers/models/dinov2/modeling_dinov2.py, dinov2_with_registers.
constexpr NameRow kHfDinov2[] = {
    {"embeddings.register_tokens", "reg_token"},
    {"encoder.layer.#.norm1.*", "blocks.#.norm1.*"},
    {"encoder.layer.#.layer_scale1.lambda1", "blocks.#.ls1.gamma"},
    {"encoder.layer.#.norm2.*", "blocks.#.norm2.*"},
    {"encoder.layer.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
    {"encoder.layer.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
    {"encoder.layer.#.layer_scale2.lambda1", "blocks.#.ls2.gamma"},
};

// What a state dict of transformers 5 has in place of those; save_pretrained still writes the names above.
constexpr NameRow kHf5[] = {
    {"encoder.layer.#.attention.q_proj.*", "blocks.#.attn.qkv.*", Part::query},
    {"encoder.layer.#.attention.k_proj.*", "blocks.#.attn.qkv.*", Part::key},
    {"encoder.layer.#.attention.v_proj.*", "blocks.#.attn.qkv.*", Part::value},
    {"encoder.layer.#.attention.o_proj.*", "blocks.#.attn.proj.*"},
    {"layers.#.attention.q_proj.*", "blocks.#.attn.qkv.*", Part::query},
    {"layers.#.attention.k_proj.*", "blocks.#.attn.qkv.*", Part::key},
    {"layers.#.attention.v_proj.*", "blocks.#.attn.qkv.*", Part::value},
    {"layers.#.attention.o_proj.*", "blocks.#.attn.proj.*"},
    {"layers.#.layernorm_before.*", "blocks.#.norm1.*"},
    {"layers.#.layernorm_after.*", "blocks.#.norm2.*"},
    {"layers.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
    {"layers.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
};

// transformers/models/clip/modeling_clip.py, CLIPVisionModelWithProjection; "layrnorm" is theirs.
constexpr NameRow kHfClip[] = {
    {"embeddings.class_embedding", "cls_token"},
    {"embeddings.position_embedding.weight", "pos_embed"},
    {"embeddings.patch_embedding.*", "patch_embed.proj.*"},
    {"pre_layrnorm.*", "norm_pre.*"},
    {"encoder.layers.#.layer_norm1.*", "blocks.#.norm1.*"},
    {"encoder.layers.#.self_attn.q_proj.*", "blocks.#.attn.qkv.*", Part::query},
    {"encoder.layers.#.self_attn.k_proj.*", "blocks.#.attn.qkv.*", Part::key},
    {"encoder.layers.#.self_attn.v_proj.*", "blocks.#.attn.qkv.*", Part::value},
    {"encoder.layers.#.self_attn.out_proj.*", "blocks.#.attn.proj.*"},
    {"encoder.layers.#.layer_norm2.*", "blocks.#.norm2.*"},
    {"encoder.layers.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"},
    {"encoder.layers.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"},
    {"post_layernorm.*", "norm.*"},
    {"^visual_projection.*", "head.*"},
};

// openai/CLIP clip/model.py, mlfoundations/open_clip transformer.py.
constexpr NameRow kOpenAi[] = {
    {"class_embedding", "cls_token"},
    {"positional_embedding", "pos_embed"},
    {"conv1.*", "patch_embed.proj.*"},
    {"ln_pre.*", "norm_pre.*"},
    {"transformer.resblocks.#.ln_1.*", "blocks.#.norm1.*"},
    {"transformer.resblocks.#.attn.in_proj_weight", "blocks.#.attn.qkv.weight"},
    {"transformer.resblocks.#.attn.in_proj_bias", "blocks.#.attn.qkv.bias"},
    {"transformer.resblocks.#.attn.out_proj.*", "blocks.#.attn.proj.*"},
    {"transformer.resblocks.#.ls_1.gamma", "blocks.#.ls1.gamma"},
    {"transformer.resblocks.#.ln_2.*", "blocks.#.norm2.*"},
    {"transformer.resblocks.#.mlp.c_fc.*", "blocks.#.mlp.fc1.*"},
    {"transformer.resblocks.#.mlp.c_proj.*", "blocks.#.mlp.fc2.*"},
    {"transformer.resblocks.#.ls_2.gamma", "blocks.#.ls2.gamma"},
    {"ln_post.*", "norm.*"},
    {"proj", "head.weight", Part::whole, Order::transposed},
};

constexpr NameRow kJaxEnds[] = {
    {"embedding/kernel", "patch_embed.proj.weight", Part::whole, Order::patches},
    {"embedding/bias", "patch_embed.proj.bias"},
    {"cls", "cls_token"},
    {"Transformer/posembed_input/pos_embedding", "pos_embed"},
    {"pos_embedding", "pos_embed"},
    {"Transformer/encoder_norm/scale", "norm.weight"},
    {"Transformer/encoder_norm/bias", "norm.bias"},
    {"head/kernel", "head.weight", Part::whole, Order::transposed},
    {"head/bias", "head.bias"},
};

// google-research/vision_transformer vit_jax/models_vit.py numbers the modules of a block 0, 1, 2, 3;
// google-research/big_vision models/vit.py those of a kind.
constexpr NameRow kJaxBlocks[] = {
    {"Transformer/encoderblock_#/LayerNorm_0/scale", "blocks.#.norm1.weight"},
    {"Transformer/encoderblock_#/LayerNorm_0/bias", "blocks.#.norm1.bias"},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/query/kernel", "blocks.#.attn.qkv.weight",
     Part::query, Order::transposed},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/query/bias", "blocks.#.attn.qkv.bias",
     Part::query, Order::flat},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/key/kernel", "blocks.#.attn.qkv.weight",
     Part::key, Order::transposed},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/key/bias", "blocks.#.attn.qkv.bias",
     Part::key, Order::flat},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/value/kernel", "blocks.#.attn.qkv.weight",
     Part::value, Order::transposed},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/value/bias", "blocks.#.attn.qkv.bias",
     Part::value, Order::flat},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/out/kernel", "blocks.#.attn.proj.weight",
     Part::whole, Order::transposed},
    {"Transformer/encoderblock_#/MultiHeadDotProductAttention_?/out/bias", "blocks.#.attn.proj.bias"},
    {"Transformer/encoderblock_#/LayerNorm_1/scale", "blocks.#.norm2.weight"},
    {"Transformer/encoderblock_#/LayerNorm_1/bias", "blocks.#.norm2.bias"},
    {"Transformer/encoderblock_#/LayerNorm_2/scale", "blocks.#.norm2.weight"},
    {"Transformer/encoderblock_#/LayerNorm_2/bias", "blocks.#.norm2.bias"},
    {"Transformer/encoderblock_#/MlpBlock_?/Dense_0/kernel", "blocks.#.mlp.fc1.weight", Part::whole,
     Order::transposed},
    {"Transformer/encoderblock_#/MlpBlock_?/Dense_0/bias", "blocks.#.mlp.fc1.bias"},
    {"Transformer/encoderblock_#/MlpBlock_?/Dense_1/kernel", "blocks.#.mlp.fc2.weight", Part::whole,
     Order::transposed},
    {"Transformer/encoderblock_#/MlpBlock_?/Dense_1/bias", "blocks.#.mlp.fc2.bias"},
};

constexpr LeftOut kAnywhere[] = {
    {"*num_batches_tracked", "counters of batch norms"},
    {"*position_ids", "position numbers"},
    {"*mask_token", "the mask token of pre-training"},
    {"decoder*", "the decoder of pre-training"},
    {"head.mlp.*", "DINO's head of pre-training"},
    {"head.last_layer.*", "DINO's head of pre-training"},
    {"*pooler.dense.*", "the pooler"},
};

constexpr LeftOut kTextTower[] = {
    {"text_model.*", "the text tower"},
    {"text.*", "the text tower"},
    {"transformer.*", "the text tower"},
    {"token_embedding.weight", "the text tower"},
    {"positional_embedding", "the text tower"},
    {"ln_final.*", "the text tower"},
    {"text_projection*", "the text tower"},
    {"attn_mask", "the text tower"},
    {"logit_scale", "the scale and bias of the contrastive loss"},
    {"logit_bias", "the scale and bias of the contrastive loss"},
    {"input_resolution", "numbers of the text tower"},
    {"context_length", "numbers of the text tower"},
    {"vocab_size", "numbers of the text tower"},
};

constexpr LeftOut kPreLogits[] = {
    {"pre_logits*", "pre_logits, a layer between norm and head that our network has no place for"},
};

struct Feature {
  const char* pattern;
  const char* name;
};

constexpr Feature kUnsupported[] = {
    {"*attn_pool.*", "an attention-pooling head"},
    {"*head.probe", "an attention-pooling head"},
    {"*head.attention.*", "an attention-pooling head"},
    {"*MAPHead*", "an attention-pooling head"},
    {"*q_norm.*", "normalised queries and keys"},
    {"*k_norm.*", "normalised queries and keys"},
    {"*attn.norm.*", "a norm inside the attention"},
    {"*relative_position*", "a relative position bias"},
    {"*q_bias", "queries with a bias and keys without"},
    {"*v_bias", "queries with a bias and keys without"},
    {"*rope*", "rotary position embedding"},
    {"*mlp.w12.*", "SwiGLU"},
    {"*mlp.w3.*", "SwiGLU"},
    {"*mlp.weights_*", "SwiGLU"},
    {"*mlp.fc1_*", "SwiGLU"},
    {"*gate_proj*", "SwiGLU"},
    {"*patch_embed.backbone.*", "a convolutional stem"},
    {"*encoderblock/*", "blocks stacked in one array"},
};

}  // namespace

std::span<const Naming> namings() {
  static const std::vector<Naming> all = {
      {Library::timm, "patch_embed.proj.weight", {kTimm, kOriginals}, {kAnywhere, kTextTower, kPreLogits}},
      {Library::hf,
       "embeddings.patch_embeddings.projection.weight",
       {kHfStem, kHfClassifier, kHfAttention, kHfBlock, kHfDistilled, kHfDinov2, kHf5},
       {kAnywhere}},
      {Library::hf_clip, "embeddings.patch_embedding.weight", {kHfClip}, {kAnywhere, kTextTower}},
      {Library::openai, "class_embedding", {kOpenAi}, {kAnywhere, kTextTower}},
      {Library::jax, "embedding/kernel", {kJaxEnds, kJaxBlocks}, {kPreLogits}},
  };
  return all;
}

std::vector<std::span<const NameRow>> hf_rows(HfClass hf_class) {
  switch (hf_class) {
    case HfClass::vit:
      return {kHfStem, kHfAttention, kHfBlock, kHfClassifier};
    case HfClass::deit:
      return {kHfStem, kHfAttention, kHfBlock, kHfDistilled};
    case HfClass::dinov2:
      return {kHfStem, kHfAttention, kHfDinov2, kHfClassifier};
    case HfClass::clip:
      return {kHfClip};
  }
  return {};
}

std::string_view unsupported_feature(std::string_view name) {
  for (const Feature& feature : kUnsupported) {
    if (format::matches(feature.pattern, name)) return feature.name;
  }
  return {};
}

}  // namespace vitrail::families
