// Weights fitted to another network. What torch and timm make of the same is compared in tests/oracles; here
// are the identities that any correct resizing has.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "engine/families/resizing.h"
#include "engine/import_model.h"
#include "tests/support/engine_foreign_weights.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

using families::Matrix;
using families::Resampling;
using test::HostTensorMap;

ImportOptions told() {
  ImportOptions options;
  options.num_heads = 2;
  options.normalization = "imagenet";
  return options;
}

HostTensorMap random_tensors(Backend& backend, const VitConfig& config) {
  const ParamSet params(backend, config, DType::f32);
  test::randomize(backend, params, 9);
  return test::host_tensors(backend, params);
}

bool said(const Import& import, const std::string& text) {
  return std::any_of(import.lines.begin(), import.lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>(bits >> 16);
}

}  // namespace

TEST_CASE("rows of a resizing matrix add up to one, and the same size changes nothing") {
  for (const Resampling resampling : {Resampling::bicubic_antialiased, Resampling::bilinear}) {
    for (const auto& sizes : {std::pair{7, 7}, {14, 24}, {16, 8}, {37, 16}, {2, 5}, {5, 1}}) {
      const int source = sizes.first, target = sizes.second;
      CAPTURE(source);
      CAPTURE(target);
      const Matrix matrix = families::resizing_matrix(source, target, resampling);
      for (std::int64_t row = 0; row < target; ++row) {
        double sum = 0;
        for (std::int64_t column = 0; column < source; ++column)
          sum += matrix.at(row, column);
        CHECK(sum == doctest::Approx(1));
        if (source == target) CHECK(matrix.at(row, row) == doctest::Approx(1));
      }
    }
  }
}

TEST_CASE("the weights of torch's filters, from its documentation's formulas worked by hand") {
  // Two samples to four, bilinear, centres at −0.25, 0.25, 0.75, 1.25.
  const Matrix linear = families::resizing_matrix(2, 4, Resampling::bilinear);
  const double expected[4][2] = {{1, 0}, {0.75, 0.25}, {0.25, 0.75}, {0, 1}};
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 2; ++column)
      CHECK(linear.at(row, column) == doctest::Approx(expected[row][column]));
  // Four samples to two, antialiased: distances from the first centre, halved, 0.25, 0.25, 0.75, 1.25.
  const Matrix cubic = families::resizing_matrix(4, 2, Resampling::bicubic_antialiased);
  const double near = 1.5 * 0.015625 - 2.5 * 0.0625 + 1, middle = 1.5 * 0.421875 - 2.5 * 0.5625 + 1,
               far = -0.5 * 1.953125 + 2.5 * 1.5625 - 4 * 1.25 + 2, sum = 2 * near + middle + far;
  const double weights[4] = {near / sum, near / sum, middle / sum, far / sum};
  for (int column = 0; column < 4; ++column) {
    CHECK(cubic.at(0, column) == doctest::Approx(weights[column]));
    CHECK(cubic.at(1, 3 - column) == doctest::Approx(weights[column]));
  }
}

TEST_CASE("kernels of larger patches give a resized image the tokens that the image had") {
  for (const Resampling resampling : {Resampling::bicubic_antialiased, Resampling::bilinear}) {
    const std::int64_t size = 4, new_size = 7;
    std::vector<float> kernel(16), image(16);
    for (std::size_t i = 0; i < 16; ++i) {
      kernel[i] = std::sin(static_cast<float>(i) * 1.7F);
      image[i] = std::cos(static_cast<float>(i) * 2.3F);
    }
    // The image resized, as rows of a table without prefix and one feature.
    const std::vector<float> larger = families::fit_positions(image, 0, size, new_size, 1, resampling);
    const std::vector<float> fitted = families::fit_patches(kernel, size, new_size, resampling);
    double before = 0, after = 0;
    for (std::size_t i = 0; i < image.size(); ++i)
      before += double(kernel[i]) * image[i];
    for (std::size_t i = 0; i < larger.size(); ++i)
      after += double(fitted[i]) * larger[i];
    CHECK(after == doctest::Approx(before).epsilon(1e-5));
  }
}

TEST_CASE("another image size: prefix rows stay, constant features stay constant") {
  const auto backend = make_backend("cpu");
  HostTensorMap theirs = random_tensors(*backend, test::tiny_config());
  std::vector<float>& rows = theirs.at("pos_embed").values;
  for (std::size_t row = 1; row < 5; ++row)
    rows[row * 8 + 3] = 0.75F;
  ImportOptions options = told();
  options.img_size = 20;
  const ImportedModel model = import_model(test::weight_file(theirs), *backend, options);
  CHECK(model.import.config.img_size == 20);
  CHECK(model.import.input.size == 20);
  CHECK(said(model.import, "position embedding resized from 2 × 2 to 5 × 5 patches (bicubic, antialiased"));
  const HostTensorMap found = test::host_tensors(*backend, model.model.params);
  const std::vector<float>& fitted = found.at("pos_embed").values;
  REQUIRE(fitted.size() == 26 * 8);
  CHECK(std::equal(fitted.begin(), fitted.begin() + 8, rows.begin()));
  for (std::size_t row = 1; row < 26; ++row)
    CHECK(fitted[row * 8 + 3] == doctest::Approx(0.75));
  CHECK((found.at("norm.weight").values == theirs.at("norm.weight").values));
}

TEST_CASE("grey images: kernels are summed; four channels: repeated and scaled") {
  const auto backend = make_backend("cpu");
  const HostTensorMap theirs = random_tensors(*backend, test::tiny_config());
  const std::vector<float>& kernels = theirs.at("patch_embed.proj.weight").values;
  ImportOptions options = told();
  options.in_chans = 1;
  const ImportedModel grey = import_model(test::weight_file(theirs), *backend, options);
  CHECK(said(grey.import, "from 3 to 1 channels (summed)"));
  CHECK(grey.import.input.channels == 1);
  CHECK(grey.import.input.mean[0] == doctest::Approx((0.485 + 0.456 + 0.406) / 3));
  const HostTensorMap one = test::host_tensors(*backend, grey.model.params);
  CHECK(one.at("patch_embed.proj.weight").values[5] ==
        doctest::Approx(double(kernels[5]) + double(kernels[21]) + double(kernels[37])));
  options.in_chans = 4;
  const ImportedModel four_channels = import_model(test::weight_file(theirs), *backend, options);
  const HostTensorMap four = test::host_tensors(*backend, four_channels.model.params);
  for (const std::size_t channel : {0U, 1U, 2U, 3U}) {
    CHECK(four.at("patch_embed.proj.weight").values[64 + channel * 16 + 2] ==
          doctest::Approx(0.75 * double(kernels[48 + channel % 3 * 16 + 2])));
  }
}

TEST_CASE("another number of classes: a new head, everything else as it was") {
  const auto backend = make_backend("cpu");
  VitConfig config = test::tiny_config();
  config.dist_token = true;
  const HostTensorMap theirs = random_tensors(*backend, config);
  ImportOptions options = told();
  options.num_classes = 3;
  const ImportedModel model = import_model(test::weight_file(theirs), *backend, options, 11);
  CHECK(said(model.import, "the head of 5 classes is replaced by a new one for 3"));
  HostTensorMap found = test::host_tensors(*backend, model.model.params);
  CHECK(found.at("head.weight").shape == std::vector<std::int64_t>{3, 8});
  CHECK(found.at("head_dist.weight").values.front() != 0);
  CHECK((found.at("head.bias").values == std::vector<float>(3)));
  for (const auto& [name, tensor] : theirs) {
    const std::string& shown = name;
    CAPTURE(shown);
    if (!name.starts_with("head")) CHECK((found.at(name).values == tensor.values));
  }
  options.num_classes = 5;
  const ImportedModel kept = import_model(test::weight_file(theirs), *backend, options);
  CHECK((test::host_tensors(*backend, kept.model.params).at("head.weight").values ==
         theirs.at("head.weight").values));
}

TEST_CASE("bf16, f16 and f64 are converted exactly") {
  const auto backend = make_backend("cpu");
  HostTensorMap theirs = random_tensors(*backend, test::tiny_config());
  for (float& value : theirs.at("norm.weight").values) {  // what bf16 can say
    const std::uint32_t bits = std::uint32_t{to_bf16(value)} << 16;
    std::memcpy(&value, &bits, 4);
  }
  std::vector<std::uint16_t> bf16;
  for (const float value : theirs.at("norm.weight").values)
    bf16.push_back(to_bf16(value));
  // 1, −2, largest, smallest normal, smallest, −0, 1 + 2⁻¹⁰, infinity.
  const std::vector<std::uint16_t> f16{0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x8000, 0x3C01, 0x7C00};
  theirs.at("norm.bias").values = {
      1, -2, 65504, 6.103515625e-05F, 5.9604644775390625e-08F, -0.0F, 1.0009765625F, INFINITY};
  std::vector<double> f64;
  for (const float value : theirs.at("head.bias").values)
    f64.push_back(value);
  WeightFile file = test::weight_file(theirs);
  for (format::TensorRecord& record : file.tensors) {
    if (record.name == "norm.weight") {
      record.type = format::ElementType::bf16;
      record.bytes = std::as_bytes(std::span(bf16));
    } else if (record.name == "norm.bias") {
      record.type = format::ElementType::f16;
      record.bytes = std::as_bytes(std::span(f16));
    } else if (record.name == "head.bias") {
      record.type = format::ElementType::f64;
      record.bytes = std::as_bytes(std::span(f64));
    }
  }
  const ImportedModel model = import_model(file, *backend, told());
  const HostTensorMap found = test::host_tensors(*backend, model.model.params);
  for (const auto& [name, tensor] : theirs) {
    const std::string& shown = name;
    CAPTURE(shown);
    CHECK(std::memcmp(found.at(name).values.data(), tensor.values.data(), tensor.values.size() * 4) == 0);
  }
  for (format::TensorRecord& record : file.tensors)
    if (record.name == "head.bias") record.type = format::ElementType::i64;
  CHECK_THROWS_WITH_AS(import_model(file, *backend, told()),
                       doctest::Contains("head.bias: expected f32, f16, bf16 or f64, found i64"),
                       ConfigError);
}

}  // namespace vitrail
