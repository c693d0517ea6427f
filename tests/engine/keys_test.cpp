#include "engine/keys.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "engine/error.h"

using namespace vitrail;

namespace {

std::string refusal(const std::string& name, const std::string& value) {
  TrainConfig config;
  try {
    set_key(config, name, value);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Every field differs from its default.
TrainConfig unusual() {
  TrainConfig c;
  c.data = "pictures with spaces/and=signs";
  c.val_fraction = 0.125;
  c.model = {.name = "vit_base_patch32_224",
             .img_size = 48,
             .patch_size = 12,
             .in_chans = 4,
             .num_classes = 7,
             .embed_dim = 60,
             .depth = 5,
             .num_heads = 5,
             .mlp_dim = 123,
             .class_token = false,
             .dist_token = true,
             .reg_tokens = 4,
             .no_embed_class = true,
             .pre_norm = true,
             .layer_scale = true,
             .init_values = 1e-4,
             .global_pool = PoolKind::avg,
             .fc_norm = true,
             .gelu = GeluKind::quick,
             .norm_eps = 1e-5,
             .patch_bias = false,
             .qkv_bias = false,
             .proj_bias = false,
             .head_bias = false,
             .weight_init = WeightInit::jax,
             .drop_rate = 0.1,
             .pos_drop_rate = 0.2,
             .proj_drop_rate = 0.3,
             .attn_drop_rate = 0.4,
             .drop_path_rate = 0.5};
  c.input = {.size = 48,
             .channels = 4,
             .crop_pct = 0.875,
             .interpolation = Interpolation::bilinear,
             .mean = {0.1, 0.2, 0.3, 1.0 / 3},
             .std = {0.4, 0.5, 0.6, 0.7}};
  c.augment = {.crop_min = 0.3, .crop_ratio = 2, .shift = 3, .flip = 0.25, .erase = 0.125};
  c.opt = {.kind = AdamKind::adam,
           .lr = 0.1 + 0.2,
           .weight_decay = 1e-300,
           .decay_all = true,
           .layer_decay = 0.75,
           .beta1 = 0.8,
           .beta2 = 0.95,
           .eps = 1e-6,
           .clip_norm = 0};
  c.schedule = {.kind = ScheduleKind::step,
                .warmup_steps = 17,
                .warmup_lr = 1e-7,
                .min_lr = 1e-9,
                .step_every = 3,
                .gamma = 0.7};
  c.ema = {.decay = 0.9998, .warmup = false};
  c.save = {.mode = SaveMode::barrier, .every_steps = 11, .keep = 2, .keep_every = 33};
  c.memory = {
      .recompute = Recompute::block, .recompute_auto = false, .limit = (std::uint64_t{3} << 30) + 1024};
  c.init = {.file = "some where/weights.safetensors",
            .norm_eps = 1e-12,
            .gelu = GeluKind::tanh,
            .num_heads = 6,
            .normalization = "clip"};
  c.resume_from = "five=steps.pt";
  c.epochs = 99;
  c.steps = 12345678901;
  c.batch = 96;
  c.accumulate = 3;
  c.label_smoothing = 0.1;
  c.seed = 18446744073709551615u;
  c.dtype = DType::f64;
  return c;
}

}  // namespace

TEST_CASE("settings as text give back every field") {
  CHECK(from_settings(to_settings(TrainConfig{})) == TrainConfig{});
  CHECK(from_settings(to_settings(unusual())) == unusual());
}

TEST_CASE("every setting counts: leaving one out of the text changes an unusual configuration") {
  const TrainConfig config = unusual();
  const std::vector<std::string> settings = to_settings(config);
  for (std::size_t i = 0; i < settings.size(); ++i) {
    std::vector<std::string> fewer = settings;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    CHECK_MESSAGE(!(from_settings(fewer) == config), settings[i]);
  }
}

TEST_CASE("the table: names are unique, and each row says what it accepts and means") {
  std::set<std::string> names;
  for (const Key& key : keys()) {
    CHECK(names.insert(key.name).second);
    CHECK_FALSE(key.accepts.empty());
    CHECK_FALSE(key.help.empty());
  }
}

TEST_CASE("values are read strictly") {
  CHECK(refusal("opt.lr", "fast") == "opt.lr: expected a number above 0, found 'fast'");
  for (const char* text : {"", " 1", "1 ", "1e", "0x10", "nan", "inf", "0", "-1", "1,5", "1e999"}) {
    CHECK_MESSAGE(contains(refusal("opt.lr", text), "opt.lr: expected"), text);
  }
  for (const char* text : {"", "1.0", "1e3", "0", "-3", "99999999999999999999", "+1"}) {
    CHECK_MESSAGE(contains(refusal("batch", text), "batch: expected a whole number"), text);
  }
  for (const char* text : {"", "yes", "1", "True"})
    CHECK(contains(refusal("ema.warmup", text), "true | false"));
  for (const char* text : {"", "0.1,", ",0.1", "0.1,0.2,0.3,0.4,0.5", "0"}) {
    CHECK_MESSAGE(contains(refusal("input.std", text), "input.std: expected"), text);
  }
  CHECK(refusal("opt.kind", "sgd") == "opt.kind: expected adamw | adam, found 'sgd'");
  CHECK(refusal("dtype", "f16") == "dtype: expected f32 | bf16 | int8 | f64 | auto, found 'f16'");
  for (const char* text : {"", "8", "GiB", "0GiB", "1.5GiB", "-1GiB", "8 GiB", "8gib", "99999999999GiB"}) {
    CHECK_MESSAGE(contains(refusal("memory.limit", text), "such as 8GiB"), text);
  }
  CHECK(refusal("opt.lr", "1e30") == "accepted");
  CHECK(refusal("ema.decay", "1") != "accepted");
  CHECK(refusal("augment.flip", "1") == "accepted");
}

TEST_CASE("what is left to the program reads back as auto, and is refused where nothing chooses") {
  TrainConfig config;
  set_key(config, "dtype", "auto");
  set_key(config, "accumulate", "auto");
  CHECK(from_settings(to_settings(config)) == config);
  CHECK_THROWS_WITH_AS(config.check(), doctest::Contains("dtype: auto"), ConfigError);
  set_key(config, "dtype", "bf16");
  CHECK_THROWS_WITH_AS(config.check(), doctest::Contains("accumulate: auto"), ConfigError);
  set_key(config, "accumulate", "2");
  CHECK_NOTHROW(config.check());
  set_key(config, "dtype", "int8");
  CHECK_THROWS_WITH_AS(config.check(), doctest::Contains("expected f32 or bf16 to train"), ConfigError);
  set_key(config, "dtype", "bf16");
  set_key(config, "memory.limit", "3072MiB");
  CHECK(config.memory.limit == std::uint64_t{3} << 30);
  CHECK(to_settings(config) != to_settings(TrainConfig{}));
}

TEST_CASE("one mean stands for all channels, two for the first and the others") {
  TrainConfig config;
  set_key(config, "input.mean", "0.25");
  CHECK(config.input.mean == std::array<double, 4>{0.25, 0.25, 0.25, 0.25});
  set_key(config, "input.mean", "0.25,0.75");
  CHECK(config.input.mean == std::array<double, 4>{0.25, 0.75, 0.75, 0.75});
}

TEST_CASE("model acts before model.*, and mlp_ratio after model.dim, whatever the order") {
  const std::vector<std::string> settings = {"model.mlp_ratio=3", "model.dim=96", "model.num_classes=5",
                                             "model=vit_small_patch16_224"};
  const TrainConfig config = from_settings(settings);
  CHECK(config.model.name == "vit_small_patch16_224");
  CHECK(config.model.embed_dim == 96);
  CHECK(config.model.mlp_dim == 288);
  CHECK(config.model.depth == 12);
  CHECK(config.model.num_classes == 5);
}

TEST_CASE("a model's name leaves alone what data and training decide") {
  TrainConfig config;
  for (const char* setting : {"num_classes", "in_chans"})
    set_key(config, std::string("model.") + setting, "2");
  set_key(config, "model.drop_path_rate", "0.1");
  set_key(config, "model", "deit3_base_patch16_384");
  CHECK(config.model.num_classes == 2);
  CHECK(config.model.in_chans == 2);
  CHECK(config.model.drop_path_rate == 0.1);
  CHECK(config.model.img_size == 384);
  CHECK(config.input.size == 384);
  CHECK(config.input.channels == 2);
  CHECK(config.model.layer_scale);
}

TEST_CASE("unknown settings name the nearest") {
  const auto check = [](const std::string& wrong, const std::string& right) {
    CHECK(refusal(wrong, "1") == "unknown setting '" + wrong + "'; did you mean '" + right + "'?");
  };
  check("opt.learning_rate", "opt.lr");
  check("learning_rate", "opt.lr");
  check("lr", "opt.lr");
  check("weight_decay", "opt.weight_decay");
  check("epoch", "epochs");
  check("bacth", "batch");
  check("model.embed_dim", "model.dim");
  check("model.num_heads", "model.heads");
  check("label-smoothing", "label_smoothing");
  CHECK(contains(refusal("xyzzy", "1"), "unknown setting 'xyzzy'; 'vitrail train --help'"));
}

TEST_CASE("combinations") {
  const auto refused = [](std::vector<std::string> settings, const std::string& part) {
    try {
      from_settings(settings).check();
      FAIL("accepted");
    } catch (const ConfigError& error) {
      CHECK_MESSAGE(contains(error.what(), part), error.what());
    }
  };
  CHECK_NOTHROW(TrainConfig{}.check());
  refused({"batch=10", "accumulate=3"}, "accumulate: expected a divisor of batch = 10, found 3");
  refused({"opt.lr=1e-7"}, "schedule.min_lr");
  refused({"schedule.warmup_lr=1"}, "schedule.warmup_lr");
  refused({"steps=5", "schedule.warmup_steps=6"}, "schedule.warmup_steps");
  refused({"model.img_size=16", "augment.shift=16"}, "augment.shift");
  refused({"model.heads=5"}, "model.heads");
  CHECK_NOTHROW(from_settings(std::vector<std::string>{"opt.lr=1e-7", "schedule.kind=constant"}).check());
}
