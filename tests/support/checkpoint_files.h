#pragma once
// Checkpoints of a few kilobytes, with what the tools look at and nothing else.

#include <filesystem>
#include <fstream>
#include <optional>

#include "format/container.h"
#include "format/sections.h"

namespace vitrail::test {

struct TinyCheckpoint {
  std::int64_t step = 0, micro = 0;
  std::optional<double> top1 = {};  // of an epoch that ended at this step
  std::vector<float> weights = {1, 2, 3, 4};
};

inline void write_checkpoint(const std::filesystem::path& path, const TinyCheckpoint& state) {
  namespace section = format::section;
  format::Table root, optimizer, order, history;
  optimizer.set(section::optimizer::kStep, state.step);
  order.set(section::data_order::kMicro, state.micro);
  history.set(section::history::kColumns, std::vector<std::string>{"epoch", "top1"});
  std::vector<std::uint64_t> steps;
  std::vector<double> values;
  if (state.top1) {
    steps.push_back(static_cast<std::uint64_t>(state.step));
    values = {0, *state.top1};
  }
  history.set(section::history::kSteps, steps);
  history.set(section::history::kValues, values);
  root.set(section::kProducer, "test");
  for (const format::Table::Id id : {section::kModel, section::kInput, section::kSchedule})
    root.set(id, format::Table{});
  root.set(section::kRng, format::Vector{32, 56, std::vector<std::byte>(56)});
  root.set(section::kOptimizer, std::move(optimizer));
  root.set(section::kDataOrder, std::move(order));
  root.set(section::kHistory, std::move(history));
  format::TensorRecord tensor;
  tensor.name = "w";
  tensor.shape = {std::ssize(state.weights)};
  tensor.bytes = std::as_bytes(std::span(state.weights));
  format::write_container(
      path, {.kind = format::FileKind::checkpoint, .root = std::move(root), .tensors = {tensor}});
}

inline void flip_byte(const std::filesystem::path& path, std::int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 0x10);
  file.seekp(at);
  file.put(byte);
}

}  // namespace vitrail::test
