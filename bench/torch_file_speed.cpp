// Opening, loading and saving a `.pt`, on request: one command a line on standard input, one JSON line each
// on standard output. torch_file_speed.sh interleaves it with PyTorch.
//   open PATH        the tree and views of the tensors; no byte of a storage is read
//   check PATH       and the CRC of every storage
//   load PATH        check, and every tensor copied into memory that is there, as a model's is
//   hold PATH        load, into memory that save takes the tensors from
//   save PATH        what is held, durably

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "format/torch_file.h"

namespace vitrail {
namespace {

using format::TensorRecord;
using format::TorchFile;
using Clock = std::chrono::steady_clock;

// Of this process, in MiB.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::atof(line.c_str() + key.size() + 1) / 1024;
  }
  return 0;
}

class Bench {
 public:
  // Outside the measured time: memory for the tensors of a file, touched.
  void prepare(const std::string& path) {
    if (!memory_.empty()) return;
    const TorchFile file = TorchFile::open(path, TorchFile::Check::structure);
    for (const TensorRecord& tensor : file.tensors())
      memory_.emplace_back(tensor.bytes.size(), std::byte{1});
  }

  void run(const std::string& what, const std::string& path) {
    if (what == "open") (void)TorchFile::open(path, TorchFile::Check::structure);
    if (what == "check") (void)TorchFile::open(path);
    if (what == "load" || what == "hold") load(path);
    if (what == "hold") hold(path);
    if (what == "save") format::write_torch(path, root_, tensors_);
  }

  double mib() const {
    double sum = 0;
    for (const auto& bytes : memory_)
      sum += static_cast<double>(bytes.size()) / (1 << 20);
    return sum;
  }

 private:
  void load(const std::string& path) {
    const TorchFile file = TorchFile::open(path, TorchFile::Check::structure);
    std::vector<TorchFile::Copy> copies;
    for (std::size_t i = 0; i < file.tensors().size(); ++i)
      copies.push_back({&file.tensors()[i], memory_[i]});
    file.load(copies);
  }

  void hold(const std::string& path) {
    const TorchFile file = TorchFile::open(path, TorchFile::Check::structure);
    root_ = file.root();
    tensors_.assign(file.tensors().begin(), file.tensors().end());
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      tensors_[i].bytes = memory_[i];
  }

  std::vector<std::vector<std::byte>> memory_;
  format::Datum root_;
  std::vector<TensorRecord> tensors_;
};

}  // namespace
}  // namespace vitrail

int main() try {
  vitrail::Bench bench;
  for (std::string what, path; std::cin >> what >> std::ws && std::getline(std::cin, path);) {
    if (what != "open" && what != "check" && what != "save") bench.prepare(path);
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const double before = vitrail::memory("VmRSS");
    const auto start = vitrail::Clock::now();
    bench.run(what, path);
    const std::chrono::duration<double> seconds = vitrail::Clock::now() - start;
    fmt::print("{{\"seconds\": {:.6f}, \"more_mib\": {:.1f}, \"held_mib\": {:.1f}}}\n", seconds.count(),
               vitrail::memory("VmHWM") - before, bench.mib());
    std::fflush(stdout);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "torch_file_speed: %s\n", error.what());
  return 1;
}
