#include "tests/support/kernels_op_run.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "kernels/check.h"
#include "kernels/error.h"
#include "tests/support/gradient.h"

namespace vitrail::test {
namespace {

// FNV-1a: a stream of random numbers for each name.
std::uint64_t stream_of(const std::string& name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::vector<double> values_of(const std::string& name, const Shape& shape) {
  return random_values(stream_of(name), static_cast<std::size_t>(shape.elements()));
}

}  // namespace

Values results_on(Backend& backend, DType dtype, const Scenario& scenario, const Values& inputs) {
  OpRun run(backend, dtype, inputs);
  scenario(run);
  return run.results();
}

const Tensor& OpRun::add(const std::string& name, const Shape& shape, std::vector<double> values, bool wide) {
  auto& place = tensors_[name];
  REQUIRE_MESSAGE(!place, "operand named twice: ", name);
  if (for_bf16_ && wide) {
    for (double& value : values)
      value = static_cast<double>(static_cast<float>(value));
  } else if (for_bf16_) {
    values = rounded_to_bf16(std::move(values));
  }
  place = std::make_unique<Tensor>(backend_, wide ? statistics_dtype(dtype_) : dtype_, shape, values);
  return *place;
}

const Tensor& OpRun::input(const std::string& name, const Shape& shape) {
  const auto given = inputs_.find(name);
  return add(name, shape, given != inputs_.end() ? given->second : values_of(name, shape), false);
}

const Tensor& OpRun::wide_input(const std::string& name, const Shape& shape) {
  const auto given = inputs_.find(name);
  return add(name, shape, given != inputs_.end() ? given->second : values_of(name, shape), true);
}

const Tensor& OpRun::output(const std::string& name, const Shape& shape) {
  outputs_.push_back(name);
  return add(name, shape, std::vector<double>(static_cast<std::size_t>(shape.elements()), std::nan("")),
             false);
}

const Tensor& OpRun::wide_output(const std::string& name, const Shape& shape) {
  outputs_.push_back(name);
  return add(name, shape, std::vector<double>(static_cast<std::size_t>(shape.elements()), std::nan("")),
             true);
}

const Tensor& OpRun::accumulator(const std::string& name, const Shape& shape) {
  outputs_.push_back(name);
  starts_[name] = values_of(name + " at first", shape);
  return add(name, shape, starts_[name], true);
}

const Tensor& OpRun::cotangent(const std::string& output, const Shape& shape) {
  return cotangent(output, shape, values_of("d" + output, shape));
}

const Tensor& OpRun::cotangent(const std::string& output, const Shape& shape,
                               const std::vector<double>& values) {
  cotangents_[output] = values;
  return add("d" + output, shape, values, false);
}

const Tensor& OpRun::wide_cotangent(const std::string& output, const Shape& shape) {
  const auto given = inputs_.find("d" + output);
  const std::vector<double> values = given != inputs_.end() ? given->second : values_of("d" + output, shape);
  cotangents_[output] = values;
  return add("d" + output, shape, values, true);
}

double OpRun::loss() const {
  double sum = 0;
  for (const auto& [name, cotangent] : cotangents_) {
    const std::vector<double> output = tensors_.at(name)->get();
    REQUIRE(output.size() == cotangent.size());
    for (std::size_t i = 0; i < output.size(); ++i)
      sum += cotangent[i] * output[i];
  }
  return sum;
}

Values OpRun::results() const {
  for (const auto& operand : tensors_) {
    CAPTURE(operand.first);
    CHECK(operand.second->guards_are_whole());
  }
  Values results;
  for (const std::string& name : outputs_) {
    results[name] = tensors_.at(name)->get();
    const auto start = starts_.find(name);
    if (start == starts_.end()) continue;
    for (std::size_t i = 0; i < start->second.size(); ++i)
      results[name][i] -= start->second[i];
  }
  return results;
}

Backend* cpu_backend(const BackendOptions& options) {
  using Key = std::tuple<int, std::string, std::string>;
  static std::map<Key, std::unique_ptr<Backend>> made;
  const auto [place, fresh] = made.try_emplace(Key(options.threads, options.gemm, options.isa));
  if (!fresh) return place->second.get();
  try {
    place->second = make_backend("cpu", options);
  } catch (const Error& error) {
    const std::string reason = error.what();
    MESSAGE("not tested here: ", reason);
  }
  return place->second.get();
}

Values reference_results(const Scenario& scenario, const Values& inputs) {
  return results_on(*cpu_backend(), DType::f64, scenario, inputs);
}

void check_gradients(const Scenario& scenario, const std::vector<std::string>& inputs, const Values& given) {
  const Values gradients = reference_results(scenario, given);
  for (const std::string& name : inputs) {
    const auto gradient = gradients.find("d" + name);
    REQUIRE_MESSAGE(gradient != gradients.end(), "the scenario gives no gradient of ", name);
    Values changed = given;
    if (!changed.contains(name)) {
      changed[name] = values_of(name, {static_cast<std::int64_t>(gradient->second.size())});
    }
    const auto loss = [&] {
      OpRun run(*cpu_backend(), DType::f64, changed);
      scenario(run);
      return run.loss();
    };
    check_gradient(loss, {name, &changed[name], gradient->second});
  }
}

void check_close(const std::string& name, const std::vector<double>& a, const std::vector<double>& b,
                 double tolerance) {
  CAPTURE(name);
  REQUIRE(a.size() == b.size());
  double largest = 0, worst = 0;
  bool numbers = true;
  for (std::size_t i = 0; i < a.size(); ++i) {
    numbers = numbers && std::isfinite(a[i]) && std::isfinite(b[i]);
    largest = std::max(largest, std::abs(b[i]));
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  CHECK(numbers);
  CHECK(worst <= tolerance * std::max(largest, 1.0));
}

void check_close(const Values& a, const Values& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (const auto& [name, values] : b)
    check_close(name, a.at(name), values, tolerance);
}

void check_backends(const Scenario& scenario, const Values& given) {
  const Values reference = reference_results(scenario, given);
  check_cuda(scenario, given, reference);
  for (const std::string& isa : kCpuIsas) {
    for (const std::string gemm : {"vitrail", "onednn", "eigen"}) {
      CAPTURE(isa);
      CAPTURE(gemm);
      Backend* alone = cpu_backend({.threads = 1, .gemm = gemm, .isa = isa});
      if (!alone) continue;
      const Values first = results_on(*alone, DType::f32, scenario, given);
      check_close(first, reference, kF32Tolerance);
      check_close(results_on(*alone, DType::f64, scenario, given), reference, kF64Tolerance);
      for (int threads : {2, 3, 7}) {
        CAPTURE(threads);
        Backend* backend = cpu_backend({.threads = threads, .gemm = gemm, .isa = isa});
        CHECK(results_on(*backend, DType::f32, scenario, given) == first);
      }
    }
  }
}

namespace {

// `own` is what one rounding of the result itself may change, 0 in f32; `inside` what those before it may, as
// a share of the largest.
void check_rounded(const std::string& name, const std::vector<double>& found,
                   const std::vector<double>& exact, double own, double inside) {
  CAPTURE(name);
  REQUIRE(found.size() == exact.size());
  double largest = 1;
  for (double value : exact)
    largest = std::max(largest, std::abs(value));
  double worst = 0;  // share of what is allowed
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double allowed = own * std::abs(exact[i]) + (kF32Tolerance + inside) * largest;
    const double share = std::abs(found[i] - exact[i]) / allowed;
    worst = std::isnan(share) ? INFINITY : std::max(worst, share);
  }
  CHECK(worst <= 1);
}

Values exact_results(const Scenario& scenario, const Values& given) {
  OpRun exact(*cpu_backend(), DType::f64, given, true);
  scenario(exact);
  return exact.results();
}

}  // namespace

void check_rounded(const OpRun& run, const Values& exact, double roundings, double everywhere) {
  const Values found = run.results();
  REQUIRE(found.size() == exact.size());
  for (const auto& [name, values] : exact) {
    const double own = run.is_bf16(name) ? kBf16Roundoff : 0;
    check_rounded(name, found.at(name), values, own, roundings * own + everywhere * kBf16Roundoff);
  }
}

void check_bf16(const Scenario& scenario, const Values& given, double roundings, double on_cuda) {
  check_cuda_bf16(scenario, given, exact_results(scenario, given), roundings, on_cuda);
  check_cpu_bf16(scenario, given, roundings);
}

void check_cpu_bf16(const Scenario& scenario, const Values& given, double roundings) {
  const Values exact = exact_results(scenario, given);
  for (const std::string& isa : kCpuIsas) {
    for (const std::string gemm : {"onednn", "eigen"}) {
      CAPTURE(isa);
      CAPTURE(gemm);
      Backend* alone = cpu_backend({.threads = 1, .gemm = gemm, .isa = isa});
      if (!alone) continue;
      OpRun run(*alone, DType::bf16, given);
      scenario(run);
      const Values first = run.results();
      check_rounded(run, exact, roundings);
      for (int threads : {2, 3, 8}) {
        CAPTURE(threads);
        Backend* backend = cpu_backend({.threads = threads, .gemm = gemm, .isa = isa});
        CHECK(results_on(*backend, DType::bf16, scenario, given) == first);
      }
    }
  }
}

}  // namespace vitrail::test
