#pragma once
// One description of an op's forward and backward, run on many backends and dtypes and held against itself:
// gradients against central differences, f32 against f64, any number of threads, every product and
// instruction set. Operands are named: the gradient of "x" is "dx", that of the output "y" comes in as "dy".

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/tensor.h"

namespace vitrail::test {

using Values = std::map<std::string, std::vector<double>>;

// The operands of one run. Contents follow from the names, unless `inputs` has them. Those called wide are of
// statistics_dtype(dtype): the same but in bf16.
class OpRun {
 public:
  // With `for_bf16`, operands start as those of a run in bf16 do, whatever the dtype.
  OpRun(Backend& backend, DType dtype, const Values& inputs, bool for_bf16 = false)
      : backend_(backend), dtype_(dtype), inputs_(inputs), for_bf16_(for_bf16 || dtype == DType::bf16) {}

  Backend& backend() { return backend_; }
  DType dtype() const { return dtype_; }

  const Tensor& input(const std::string& name, const Shape& shape);   // read; random, or as given
  const Tensor& output(const std::string& name, const Shape& shape);  // starts as NaN
  const Tensor& wide_input(const std::string& name, const Shape& shape);
  const Tensor& wide_output(const std::string& name, const Shape& shape);
  const Tensor& accumulator(const std::string& name,
                            const Shape& shape);  // wide; starts random; reports what was added
  const Tensor& cotangent(const std::string& output, const Shape& shape);  // d loss / d output; random
  const Tensor& cotangent(const std::string& output, const Shape& shape, const std::vector<double>& values);
  const Tensor& wide_cotangent(const std::string& output, const Shape& shape);

  // The loss whose gradients the backward gives: Σ cotangent ∘ output.
  double loss() const;
  // What outputs hold and what accumulators gained. Checks the guards of every operand.
  Values results() const;
  bool is_bf16(const std::string& name) const { return tensors_.at(name)->in().dtype == DType::bf16; }

 private:
  const Tensor& add(const std::string& name, const Shape& shape, std::vector<double> values, bool wide);

  Backend& backend_;
  DType dtype_;
  Values inputs_;
  bool for_bf16_;
  Values cotangents_, starts_;
  std::vector<std::string> outputs_;
  std::map<std::string, std::unique_ptr<Tensor>> tensors_;
};

using Scenario = std::function<void(OpRun&)>;

// BackendOptions::isa of every build.
inline const std::vector<std::string> kCpuIsas = {"avx512_bf16", "avx512", "avx2", "generic"};

// A CPU backend, made once for each set of options. Null where this build or machine has no such thing.
Backend* cpu_backend(const BackendOptions& options = {.threads = 2});

// Null where the program has no such device.
Backend* cuda_backend();

// Under emulation the order of threads and blocks and of late copies follows from the seed; else nothing.
void shuffle_cuda(std::uint64_t seed);

// On the cuda device: f32 against the reference, and the same bits in another order of threads. False, and
// nothing checked, in a build without one.
bool check_cuda(const Scenario& scenario, const Values& given, const Values& reference);

Values results_on(Backend& backend, DType dtype, const Scenario& scenario, const Values& inputs);

// What `scenario` gives on the reference: f64.
Values reference_results(const Scenario& scenario, const Values& inputs = {});

// Each gradient that the scenario gives and whose input is named here, against central differences in f64.
void check_gradients(const Scenario& scenario, const std::vector<std::string>& inputs,
                     const Values& given = {});

// f32 against f64; the same bits for 1, 2, 3 and 7 threads with every matrix product; AVX2 against AVX-512.
// In a build with a cuda device that one too.
void check_backends(const Scenario& scenario, const Values& given = {});

// bf16 against f64 on the same operands: f32 results as closely as f32 ones, bf16 results with one rounding
// more, |a − b| ≤ 2^-8·|b| + kF32Tolerance·max |b|. The same bits for 1, 2, 3 and 8 threads; every product
// and instruction set. `roundings` counts those inside the op on the way to a bf16 result, each
// allowed a share of max |b|. In a build with a cuda device that one too, with `on_cuda` roundings besides,
// on the way to any result.
void check_bf16(const Scenario& scenario, const Values& given = {}, double roundings = 0, double on_cuda = 0);
void check_cpu_bf16(const Scenario& scenario, const Values& given = {}, double roundings = 0);

// The last part of it. `exact`: f64, on operands that bf16 has.
void check_cuda_bf16(const Scenario& scenario, const Values& given, const Values& exact, double roundings,
                     double on_cuda);

// The bounds of check_bf16 on results of `run`; `everywhere` counts roundings on the way to f32 results too.
void check_rounded(const OpRun& run, const Values& exact, double roundings, double everywhere = 0);

// max |a − b| ≤ tolerance · max |b|, and not a NaN anywhere
void check_close(const std::string& name, const std::vector<double>& a, const std::vector<double>& b,
                 double tolerance);
void check_close(const Values& a, const Values& b, double tolerance);

inline constexpr double kF32Tolerance = 1e-5;
inline constexpr double kF64Tolerance = 1e-12;

}  // namespace vitrail::test
