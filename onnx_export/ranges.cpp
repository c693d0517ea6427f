#include "onnx_export/ranges.h"

#include <algorithm>

#include "engine/arena.h"
#include "engine/attention_half.h"
#include "engine/mlp_half.h"
#include "engine/stem.h"
#include "engine/transfer.h"

namespace vitrail::onnx_export {
namespace {

void include(Range& range, std::span<const float> numbers) {
  for (const float number : numbers)
    range.include(number);
}

// A forward pass that looks at what the engine keeps of each block.
class Probe {
 public:
  Probe(Ranges& ranges, const VitConfig& config, const VitParams& params, Backend& backend,
        std::int64_t batch)
      : ranges_(ranges), config_(config), params_(params), backend_(backend) {
    layout(batch);
    arena_.allocate(backend);
    layout(batch);
  }

  void run(std::span<const float> images, std::int64_t count) {
    if (count != images_.shape[0]) layout(count);
    upload_floats(backend_, images_, images);
    stem_forward(backend_, config_, params_, stem_, images_, {});
    In x = stem_.y();
    for (std::int64_t i = 0; i < config_.depth; ++i) {
      const BlockParams& block = params_.blocks[static_cast<std::size_t>(i)];
      const std::string name = "blocks." + std::to_string(i);
      attention_half_forward(backend_, config_, block, attention_, x, i, {});
      look_at_attention(name + ".attn", x);
      mlp_half_hidden(backend_, config_, block, mlp_, attention_.y, i, {});
      mlp_half_output(backend_, config_, block, mlp_, attention_.y, i, {});
      look_at_mlp(name + ".mlp");
      x = mlp_.y;
    }
    ranges_.images += count;
  }

 private:
  void layout(std::int64_t batch) {
    arena_.restart();
    const DType dtype = params_.patch_embed.weight.dtype;
    const std::int64_t tokens = config_.tokens();
    images_ = arena_.take(dtype, {batch, config_.in_chans, config_.img_size, config_.img_size});
    stem_ = plan_stem(arena_, config_, dtype, batch);
    stem_.patches = plan_patches(arena_, config_, dtype, batch);
    stem_.embedded = plan_embedded(arena_, config_, dtype, batch);
    attention_ = plan_attention_half(arena_, config_, dtype, batch, tokens, nullptr);
    attention_.y = arena_.take(dtype, {batch, tokens, config_.embed_dim});
    mlp_ = plan_mlp_half(arena_, config_, dtype, batch, tokens, nullptr);
    mlp_.y = arena_.take(dtype, {batch, tokens, config_.embed_dim});
  }

  std::vector<float> read(In view) const {
    std::vector<float> numbers(static_cast<std::size_t>(view.shape.elements()));
    download_floats(backend_, numbers, view);
    return numbers;
  }

  void look_at_attention(const std::string& name, In x) {
    include(ranges_.inputs[name + ".qkv"], read(attention_.norm));
    include(ranges_.outputs[name + ".qkv"], read(attention_.qkv));
    include(ranges_.outputs[name + ".scores"], read(attention_.lse));  // above the largest score
    include(ranges_.inputs[name + ".proj"], read(attention_.attended));
    look_at_branch(name + ".proj", attention_.y, x);
  }

  void look_at_mlp(const std::string& name) {
    include(ranges_.inputs[name + ".fc1"], read(mlp_.norm));
    include(ranges_.outputs[name + ".fc1"], read(mlp_.pre));
    include(ranges_.inputs[name + ".fc2"], read(mlp_.act));
    look_at_branch(name + ".fc2", mlp_.y, attention_.y);
  }

  // What was added to the residual stream, and the stream itself.
  void look_at_branch(const std::string& name, In y, In x) {
    const std::vector<float> after = read(y), before = read(x);
    Range& branch = ranges_.outputs[name];
    for (std::size_t i = 0; i < after.size(); ++i)
      branch.include(after[i] - before[i]);
    include(ranges_.residual, after);
  }

  Ranges& ranges_;
  const VitConfig& config_;
  const VitParams& params_;
  Backend& backend_;
  Arena arena_;
  Out images_;
  Stem stem_;
  AttentionHalf attention_;
  MlpHalf mlp_;
};

}  // namespace

void observe(Ranges& ranges, const VitConfig& config, const VitParams& params, Backend& backend,
             std::span<const float> images) {
  constexpr std::size_t kImagesAtOnce = 8;
  const std::size_t pixels = static_cast<std::size_t>(config.in_chans * config.img_size * config.img_size);
  const std::size_t count = images.size() / pixels, batch = std::min(kImagesAtOnce, count);
  if (count == 0) return;
  Probe probe(ranges, config, params, backend, static_cast<std::int64_t>(batch));
  for (std::size_t first = 0; first < count; first += batch) {
    const std::size_t now = std::min(batch, count - first);
    probe.run(images.subspan(first * pixels, now * pixels), static_cast<std::int64_t>(now));
  }
}

}  // namespace vitrail::onnx_export
