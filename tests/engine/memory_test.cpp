// Training takes its memory before step 1 and then no more.

#include "tests/support/memory.h"
#include <doctest/doctest.h>
#include <malloc.h>
#include "engine/import_model.h"
#include "engine/model_io.h"
#include "engine/ready_model.h"
#include "engine/trainer.h"
#include "format/safetensors.h"
#include "format/torch_file.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {

using test::anonymous_bytes;
using test::kSanitized;
using test::peak_resident_bytes;
using test::resident_bytes;

TEST_CASE("nothing grows over 1,000 steps, evaluation included" * doctest::skip(kSanitized)) {
  const DataSource data = test::synthetic_data(64, 16, 4, 8);
  TrainConfig config = test::tiny_training();
  config.model.proj_drop_rate = 0.1;
  config.model.attn_drop_rate = 0.1;
  config.augment.crop_min = 0.5;
  config.ema.decay = 0.99;
  config.batch = 16;
  config.steps = 1200;
  config.opt.lr = 1e-4;
  const auto backend = make_backend("cpu", {.threads = 2});
  Trainer trainer(*backend, config, data, 2);
  std::int64_t after_warm_up = 0;
  while (!trainer.done()) {
    trainer.advance();
    if (trainer.at_epoch_end()) trainer.finish_epoch();
    if (trainer.step() == 200) after_warm_up = resident_bytes();
  }
  CHECK(resident_bytes() - after_warm_up <= 512 * 1024);
}

TEST_CASE("saving takes the memory that was set aside for it, and at most 64 MiB" *
          doctest::skip(kSanitized)) {
  const test::TemporaryFolder folder;
  const DataSource data = test::synthetic_data(8, 0, 4, 8);
  TrainConfig config = test::tiny_training();
  config.model.embed_dim = 384;
  config.model.mlp_dim = 1536;
  config.model.depth = 5;
  config.batch = 2;
  for (const SaveMode mode : {SaveMode::staged, SaveMode::barrier, SaveMode::sync}) {
    CAPTURE(name_of(mode));
    config.save.mode = mode;
    const auto backend = make_backend("cpu", {.threads = 2});
    Trainer trainer(*backend, config, data, 1);
    trainer.advance();
    const MemoryPlan plan = trainer.memory();
    const std::size_t state = plan.weights + plan.moments;
    CHECK(state > (std::size_t{100} << 20));
    CHECK(plan.saving <= (mode == SaveMode::staged ? state + state / 50 : 0));
    peak_resident_bytes();
    const std::int64_t before = resident_bytes();
    trainer.begin_save(folder / "a.vitrail");
    trainer.advance();
    CHECK_FALSE(trainer.await_save()->error);
    CHECK(peak_resident_bytes() - before <= std::int64_t{64} << 20);
  }
}

namespace {

VitConfig sixty_megabytes() {
  VitConfig config = vit_config("vit_small_patch16_224");
  config.depth = 8;
  return config;
}

}  // namespace

TEST_CASE("loading takes the memory of the model, and at most 16 MiB" * doctest::skip(kSanitized)) {
  const test::TemporaryFolder folder;
  const VitConfig config = sixty_megabytes();
  const auto backend = make_backend("cpu", {.threads = 2});
  {
    const Model model{
        .config = config, .input = {}, .labels = {}, .params = ParamSet(*backend, config, DType::f32)};
    init_params(*backend, config, model.params, 1);
    save_model(folder / "a.vitrail", *backend, model);
  }
  const std::int64_t before = resident_bytes();
  peak_resident_bytes();
  const Model model = load_model(folder / "a.vitrail", *backend);
  const auto bytes = static_cast<std::int64_t>(model.params.bytes());
  CHECK(bytes > std::int64_t{50} << 20);
  const std::int64_t taken = peak_resident_bytes() - before;
  CHECK(taken >= bytes);  // else the measurement sees nothing
  CHECK(taken <= bytes + (std::int64_t{16} << 20));
}

TEST_CASE("a model that runs alone is not copied, and in bf16 and int8 its matrices alone are" *
          doctest::skip(kSanitized)) {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  std::int64_t bytes = 0;
  {
    const VitConfig config = sixty_megabytes();
    const Model model{
        .config = config, .input = {}, .labels = {}, .params = ParamSet(*backend, config, DType::f32)};
    init_params(*backend, config, model.params, 1);
    save_model(folder / "a.vitrail", *backend, model);
    bytes = static_cast<std::int64_t>(model.params.bytes());
  }
  ::malloc_trim(0);  // what the model above left behind would hide what is taken
  const std::int64_t before = anonymous_bytes();
  const ReadyModel f32 = open_ready(folder / "a.vitrail", *backend, DType::f32);
  CHECK(anonymous_bytes() - before <= bytes / 20);
  const ReadyModel bf16 = open_ready(folder / "a.vitrail", *backend, DType::bf16);
  const std::int64_t taken = anonymous_bytes() - before;
  CHECK(taken >= bytes * 45 / 100);
  CHECK(taken <= bytes * 55 / 100);
  const ReadyModel int8 = open_ready(folder / "a.vitrail", *backend, DType::int8);
  CHECK(anonymous_bytes() - before - taken <= bytes * 30 / 100);
}

TEST_CASE("so does taking over a file of another program" * doctest::skip(kSanitized)) {
  const test::TemporaryFolder folder;
  const auto backend = make_backend("cpu", {.threads = 2});
  {
    const VitConfig config = sixty_megabytes();
    const Model model{
        .config = config, .input = {}, .labels = {}, .params = ParamSet(*backend, config, DType::f32)};
    init_params(*backend, config, model.params, 1);
    const ExportedWeights weights = export_weights(model, *backend, Layout::timm);
    format::write_safetensors(folder / "a.safetensors", weights.tensors, weights.metadata);
    format::Datum::Dict state;
    for (std::size_t i = 0; i < weights.tensors.size(); ++i)
      state.items.push_back({weights.tensors[i].name, format::Datum::Tensor{i}});
    format::write_torch(folder / "a.pt", std::move(state), weights.tensors);
  }
  ImportOptions options;
  options.normalization = "half";
  for (const std::string name : {"a.safetensors", "a.pt"}) {
    CAPTURE(name);
    const std::int64_t before = resident_bytes();
    peak_resident_bytes();
    const ImportedModel imported = import_model(open_weight_file(folder / name), *backend, options);
    const auto bytes = static_cast<std::int64_t>(imported.model.params.bytes());
    const std::int64_t taken = peak_resident_bytes() - before;
    CHECK(taken >= bytes);
    CHECK(taken <= bytes + (std::int64_t{16} << 20));
  }
}

}  // namespace vitrail
