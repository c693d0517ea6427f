#pragma once
// Where the time of a training step or of a batch of inference goes, op by op, beside what the device can do.

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/app/bench_products.h"
#include "engine/app/console.h"
#include "kernels/backend.h"

namespace vitrail::app {

double median(std::vector<double> values);

// What was measured over several repetitions of one thing.
struct Profile {
  std::vector<double> seconds;        // of each repetition
  std::map<std::string, OpTime> ops;  // of all of them
  ProductsTime products;              // of all of them, with the products alone

  bool ran() const { return !seconds.empty(); }
};

// Averages of one repetition.
struct OpRow {
  std::string op;
  double calls = 0, seconds = 0, flops = 0, bytes = 0;
  double floor_seconds = 0;  // at the device's peak: the longer of its arithmetic and its memory traffic
  double share = 0;          // of the repetition's time
};

// Largest first; the last row is what no op accounts for: reading data, zeroing gradients, the loop itself.
std::vector<OpRow> op_rows(const Profile& profile, DType dtype, const DevicePeak& peak);

// Time of one repetition over that of its products alone; attention's products, which have no weight, are
// counted at the rate of those that have one. 0 when there is no product.
double times_products(const Profile& profile);

nlohmann::ordered_json rows_json(const std::vector<OpRow>& rows);
nlohmann::ordered_json peak_json(const DevicePeak& peak);
std::string peak_text(const DevicePeak& peak, DType dtype);
void show_rows(Console& console, const std::vector<OpRow>& rows);

}  // namespace vitrail::app
