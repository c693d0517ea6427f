#include "engine/app/bench_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrail::app {
namespace {

constexpr double kLeastShare = 0.003;  // rows below are shown as one

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values)
    sum += value;
  return values.empty() ? 0 : sum / double(values.size());
}

double floor_seconds(const OpRow& row, double flops_peak, double memory_peak) {
  return std::max(flops_peak > 0 ? row.flops / flops_peak : 0, memory_peak > 0 ? row.bytes / memory_peak : 0);
}

std::string row_text(const OpRow& row) {
  const double seconds = row.seconds > 0 ? row.seconds : 1;
  const std::string rate = row.flops > 0   ? fmt::format("{:7.1f} GF/s", row.flops / seconds / 1e9)
                           : row.bytes > 0 ? fmt::format("{:7.1f} GB/s", row.bytes / seconds / 1e9)
                                           : std::string(12, ' ');
  const std::string of_peak =
      row.floor_seconds > 0 ? fmt::format("{:4.0f} %", 100 * row.floor_seconds / seconds) : "     –";
  const std::string calls = row.calls > 0 ? fmt::format("{:.0f}", row.calls) : "";
  return fmt::format("{:5.1f} % {:9.3f} ms {:>5} {} {}  {}", 100 * row.share, 1e3 * row.seconds, calls, rate,
                     of_peak, row.op);
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<OpRow> op_rows(const Profile& profile, DType dtype, const DevicePeak& peak) {
  const double times = double(profile.seconds.size()), whole = mean(profile.seconds);
  std::vector<OpRow> rows;
  double rest = whole;
  for (const auto& [name, op] : profile.ops) {
    OpRow row{.op = name,
              .calls = double(op.calls) / times,
              .seconds = op.seconds / times,
              .flops = op.work.flops / times,
              .bytes = op.work.bytes / times};
    row.floor_seconds = floor_seconds(row, peak.flops(dtype), peak.memory_bytes);
    row.share = row.seconds / whole;
    rest -= row.seconds;
    rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const OpRow& a, const OpRow& b) { return a.seconds > b.seconds; });
  rows.push_back({.op = "between ops", .seconds = rest, .share = rest / whole});
  return rows;
}

double times_products(const Profile& profile) {
  if (profile.products.flops == 0) return 0;
  double flops = 0;
  for (const auto& [name, op] : profile.ops)
    flops += op.work.flops;
  const double products = profile.products.seconds * flops / profile.products.flops;
  return median(profile.seconds) * double(profile.seconds.size()) / products;
}

nlohmann::ordered_json rows_json(const std::vector<OpRow>& rows) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const OpRow& row : rows) {
    all.push_back({{"op", row.op},
                   {"calls", row.calls},
                   {"seconds", row.seconds},
                   {"share", row.share},
                   {"flops", row.flops},
                   {"bytes", row.bytes},
                   {"share_of_peak", row.seconds > 0 ? row.floor_seconds / row.seconds : 0}});
  }
  return all;
}

nlohmann::ordered_json peak_json(const DevicePeak& peak) {
  return {{"f32_gflops_per_second", peak.f32_flops / 1e9},
          {"f64_gflops_per_second", peak.f64_flops / 1e9},
          {"bf16_gflops_per_second", peak.bf16_flops / 1e9},
          {"memory_gbytes_per_second", peak.memory_bytes / 1e9}};
}

std::string peak_text(const DevicePeak& peak, DType dtype) {
  if (peak.flops(dtype) == 0 && peak.memory_bytes == 0) return "not measured on this device";
  const std::string arithmetic =
      peak.flops(dtype) > 0 ? fmt::format("{:.0f} GF/s in {}", peak.flops(dtype) / 1e9, name_of(dtype))
                            : fmt::format("not measured in {}", name_of(dtype));
  return fmt::format("{}  {:.1f} GB/s of memory", arithmetic, peak.memory_bytes / 1e9);
}

void show_rows(Console& console, const std::vector<OpRow>& rows) {
  console.row("", "  share      time calls         rate  peak  op");
  OpRow small{.op = "others"};
  for (const OpRow& row : rows) {
    if (row.share >= kLeastShare) {
      console.row("", row_text(row));
      continue;
    }
    small.seconds += row.seconds;
    small.share += row.share;
  }
  console.row("", row_text(small));
}

}  // namespace vitrail::app
