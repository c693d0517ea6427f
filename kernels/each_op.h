#pragma once
// Every op, once: VITRAIL_EACH_OP(X) is X(PatchEmbedForward) X(PatchEmbedBackward) … What has one function
// for each op (the interface of a device, its functions, its table) is written with it.

#define VITRAIL_EACH_OP(X)  \
  X(PatchEmbedForward)      \
  X(PatchEmbedBackward)     \
  X(EmbedTokensForward)     \
  X(EmbedTokensBackward)    \
  X(SliceTokensForward)     \
  X(SliceTokensBackward)    \
  X(MeanTokensForward)      \
  X(MeanTokensBackward)     \
  X(LinearForward)          \
  X(LinearBackward)         \
  X(LinearGeluForward)      \
  X(GeluForward)            \
  X(LinearResidualForward)  \
  X(LinearResidualBackward) \
  X(LayerNormForward)       \
  X(LayerNormBackward)      \
  X(AttentionForward)       \
  X(AttentionBackward)      \
  X(CrossEntropy)           \
  X(ApplyDropout)           \
  X(Combine)                \
  X(Cast)                   \
  X(QuantizeRows)           \
  X(AdamStep)               \
  X(GradNorm)
