// A training that changes devices on the way: what a checkpoint holds is not of the device that wrote it.

#include <doctest/doctest.h>

#include "engine/trainer.h"
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
  Run(const std::string& device, const DataSource& data)
      : backend_(make_backend(device, {.threads = 1})), trainer_(*backend_, config(), data, 1) {}

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
  static TrainConfig config() {
    TrainConfig config = training_with_everything();
    config.opt.eps = 1e-4;  // else a gradient of rounding errors alone moves a weight by lr
    return config;
  }

  std::unique_ptr<Backend> backend_;
  Trainer trainer_;
  std::vector<double> losses_;
};

Values moved(const std::string& from, const std::string& to, const DataSource& data) {
  const TemporaryFolder folder;
  Run first(from, data), second(to, data);
  first.advance(kAt);
  first.save(folder / "moved.vitrail");
  second.load(folder / "moved.vitrail");
  CHECK(second.state() == first.state());
  second.advance(kMicroBatches - kAt);
  CHECK(first.losses().size() == 2);
  CHECK(second.losses().size() == 4);
  return second.state();
}

}  // namespace

TEST_CASE("cuda: a checkpoint of one device is resumed on the other") {
  const DataSource data = synthetic_data(40, 12, 4, 10);
  Run cpu("cpu", data), cuda("cuda", data);
  cpu.advance(kMicroBatches);
  cuda.advance(kMicroBatches);
  check_close(cuda.state(), cpu.state(), kF32Tolerance);
  check_close(moved("cpu", "cuda", data), cpu.state(), kF32Tolerance);
  check_close(moved("cuda", "cpu", data), cpu.state(), kF32Tolerance);
  CHECK(moved("cuda", "cuda", data) == cuda.state());
}

}  // namespace vitrail::test
