// A training that changes devices on the way: what a checkpoint holds is not of the device that wrote it.

#include <doctest/doctest.h>

#include "engine/trainer.h"
#include "tests/support/bf16_network.h"
#include "tests/support/kernels_op_run.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/vit_run.h"

namespace vitrail::test {
namespace {

constexpr int kMicroBatches = 18, kAt = 7;  // a whole epoch; in the middle of the third step

class Run {
 public:
  Run(const std::string& device, const DataSource& data, DType dtype)
      : backend_(make_backend(device, {.threads = 1})), trainer_(*backend_, config(dtype), data, 1) {}

  void advance(int micro_batches) {
    for (int i = 0; i < micro_batches; ++i) {
      const auto report = trainer_.advance();
      if (report) losses_.push_back(report->loss);
    }
  }
  void save(const std::filesystem::path& file) const { trainer_.save(file); }
  void load(const std::filesystem::path& file) { trainer_.load(file); }

  // Of the steps that this run has done itself.
  std::vector<double> losses() const { return losses_; }
  Values state() const {
    return {{"weights", values_of<float>(*backend_, trainer_.weights().flat())},
            {"first moment", values_of<float>(*backend_, trainer_.first_moment().flat())},
            {"second moment", values_of<float>(*backend_, trainer_.second_moment().flat())},
            {"average", values_of<float>(*backend_, trainer_.ema()->flat())}};
  }

 private:
  static TrainConfig config(DType dtype) {
    TrainConfig config = training_with_everything();
    config.dtype = dtype;
    config.opt.eps = 1e-4;  // else a gradient of rounding errors alone moves a weight by lr
    return config;
  }

  std::unique_ptr<Backend> backend_;
  Trainer trainer_;
  std::vector<double> losses_;
};

// What a whole epoch on `from`, and from its third step on `to`, comes to.
Values moved(const std::string& from, const std::string& to, const DataSource& data, DType dtype) {
  const TemporaryFolder folder;
  Run first(from, data, dtype), second(to, data, dtype);
  first.advance(kAt);
  first.save(folder / "moved.vitrail");
  second.load(folder / "moved.vitrail");
  CHECK(second.state() == first.state());
  second.advance(kMicroBatches - kAt);
  CHECK(first.losses().size() == 2);
  CHECK(second.losses().size() == 4);
  return second.state();
}

Values unmoved(const std::string& device, const DataSource& data, DType dtype) {
  Run run(device, data, dtype);
  run.advance(kMicroBatches);
  return run.state();
}

std::vector<float> floats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// What was learnt is apart by no more than a hundredth of it (measured: 0.003, as of two whole runs).
void check_same_way(const Values& found, const Values& expected, const Values& start) {
  for (const auto& [name, values] : expected) {
    CAPTURE(name);
    const std::vector<float> learnt = difference(floats(values), floats(start.at(name)));
    CHECK(norm(difference(floats(found.at(name)), floats(values))) <= 0.01 * norm(learnt));
  }
}

}  // namespace

TEST_CASE("cuda: a checkpoint of one device is resumed on the other") {
  const DataSource data = synthetic_data(40, 12, 4, 10);
  const Values cpu = unmoved("cpu", data, DType::f32), cuda = unmoved("cuda", data, DType::f32);
  check_close(cuda, cpu, kF32Tolerance);
  check_close(moved("cpu", "cuda", data, DType::f32), cpu, kF32Tolerance);
  check_close(moved("cuda", "cpu", data, DType::f32), cpu, kF32Tolerance);
  CHECK(moved("cuda", "cuda", data, DType::f32) == cuda);
}

TEST_CASE("cuda: so is one of a training in bf16") {
  const DataSource data = synthetic_data(40, 12, 4, 10);
  const Values start = Run("cpu", data, DType::bf16).state(), cpu = unmoved("cpu", data, DType::bf16),
               cuda = unmoved("cuda", data, DType::bf16);
  check_same_way(cuda, cpu, start);
  check_same_way(moved("cpu", "cuda", data, DType::bf16), cpu, start);
  check_same_way(moved("cuda", "cpu", data, DType::bf16), cpu, start);
  CHECK(moved("cuda", "cuda", data, DType::bf16) == cuda);
}

}  // namespace vitrail::test
