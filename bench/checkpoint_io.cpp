// Saving, opening and verifying a training state, and the bare disk beside it, on request: one command a line
// on standard input, one JSON line each on standard output. compare_checkpoints.sh interleaves it with its
// peers.
//   checkpoint_io MODEL FOLDER
//     list                    the tensors: names and shapes
//     raw io_uring|threads    as many bytes with direct writes and fsync, without hashing or a format
//     save automatic|io_uring|threads|buffered
//     read                    the saved file with direct reads, in two threads
//     verify map|read         all of the saved file, which is not in the page cache
//     open                    the saved file, which is: with all structural rules
//     load                    into memory that is there, every hash checked

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "engine/vit_params.h"
#include "format/block_writer.h"
#include "format/container.h"

namespace vitrail {
namespace {

using format::kPage;
using format::Role;
using format::WriteMode;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = std::size_t{4} << 20;

// Of this process, in MiB.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::atof(line.c_str() + key.size() + 1) / 1024;
  }
  return 0;
}

// Weights and both moments in one piece each, tensors on cache lines, as in training.
class State {
 public:
  explicit State(const std::string& model) {
    const VitConfig config = vit_config(model);
    contents_.kind = format::FileKind::weights;
    contents_.root.set(1, std::string("checkpoint_io"));
    VitParams params;
    params.blocks.resize(static_cast<std::size_t>(config.depth));
    std::vector<ParamSpec> specs;
    std::size_t floats = 0;
    visit_params(config, params, [&](const ParamSpec& spec, Out&) {
      specs.push_back(spec);
      floats += static_cast<std::size_t>(spec.shape.elements() + 15) / 16 * 16;
    });
    for (const Role role : {Role::parameter, Role::first_moment, Role::second_moment})
      add(role, specs, floats);
  }

  const format::ContainerContents& contents() const { return contents_; }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const format::TensorRecord& tensor : contents_.tensors)
      sum += tensor.bytes.size();
    return sum;
  }

  // The same memory in whole blocks, as far as they go.
  std::uint64_t blocks() const { return values_.size() * blocks_of_role(); }
  format::Bytes block(std::uint64_t at) const {
    const std::uint64_t index = at / kBlock;
    const auto* role = reinterpret_cast<const std::byte*>(values_[index / blocks_of_role()].data());
    role += (kPage - reinterpret_cast<std::uintptr_t>(role) % kPage) % kPage;
    return {role + index % blocks_of_role() * kBlock, kBlock};
  }

 private:
  void add(Role role, const std::vector<ParamSpec>& specs, std::size_t floats) {
    std::vector<float>& values = values_.emplace_back(floats + 16);
    std::uint32_t random = 1 + static_cast<std::uint32_t>(role);
    for (float& value : values) {
      random = random * 1664525u + 1013904223u;
      value = static_cast<float>(random >> 8) * 0x1p-24F - 0.5F;
    }
    std::size_t at = (64 - reinterpret_cast<std::uintptr_t>(values.data()) % 64) % 64 / sizeof(float);
    for (const ParamSpec& spec : specs) {
      const auto elements = static_cast<std::size_t>(spec.shape.elements());
      const auto axes = std::span(spec.shape.dims).first(static_cast<std::size_t>(spec.shape.rank));
      contents_.tensors.push_back({.name = spec.name,
                                   .role = role,
                                   .shape = {axes.begin(), axes.end()},
                                   .bytes = std::as_bytes(std::span(values).subspan(at, elements))});
      at += (elements + 15) / 16 * 16;
    }
  }

  std::uint64_t blocks_of_role() const { return (values_[0].size() * sizeof(float) - kPage) / kBlock; }

  std::vector<std::vector<float>> values_;
  format::ContainerContents contents_;
};

class Bench {
 public:
  Bench(const std::string& model, const std::filesystem::path& folder)
      : state_(model), path_(folder / "bench.vitrail"), raw_path_(folder / "bench.raw") {}
  ~Bench() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    std::filesystem::remove(raw_path_, ignored);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void run(const std::string& what, const std::string& how) {
    if (what == "list") return list();
    if (what == "save") std::filesystem::remove(path_);  // a checkpoint has a name of its own
    ::sync();
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const double before = memory("VmRSS");
    const Clock::time_point start = Clock::now();
    used_ = how;
    double seconds = 0;
    if (what == "raw") raw(how == "threads" ? WriteMode::threads : WriteMode::io_uring);
    if (what == "save") save(how);
    if (what == "read") seconds = read();
    if (what == "verify") seconds = verify(how);
    if (what == "load") seconds = load();
    if (what == "open") seconds = open();
    if (seconds == 0) seconds = std::chrono::duration<double>(Clock::now() - start).count();
    fmt::print(
        "{{\"what\": \"{}\", \"how\": \"{}\", \"bytes\": {}, \"seconds\": {:.6f}, \"more_mib\": {:.1f}}}\n",
        what, used_, state_.bytes(), seconds, memory("VmHWM") - before);
    if (what == "raw") std::filesystem::remove(raw_path_);
  }

 private:
  void list() const {
    std::string text;
    for (const format::TensorRecord& tensor : state_.contents().tensors) {
      text += fmt::format("{}[\"{}.{}\", [{}]]", text.empty() ? "" : ", ", static_cast<int>(tensor.role),
                          tensor.name, fmt::join(tensor.shape, ", "));
    }
    fmt::print("[{}]\n", text);
  }

  // Durable too: a new file, reserved, forced to the disk and renamed; out of the state's memory.
  void raw(WriteMode mode) {
    const std::uint64_t bytes = state_.blocks() * kBlock;
    format::AtomicFile file(raw_path_, bytes);
    {
      const auto queue = file.files().open_queue(file.handle(), mode, format::BlockWriter::kDepth);
      if (queue == nullptr) throw std::runtime_error("no direct writes here");
      unsigned under_way = 0;
      format::WriteQueue::Done done;
      for (std::uint64_t at = 0; at < bytes || under_way > 0;) {
        if (at < bytes && under_way < format::BlockWriter::kDepth) {
          if (queue->submit(at, state_.block(at), 0) == 0) ++under_way;
          at += kBlock;
        } else {
          if (queue->wait(done) != 0 || done.result != std::int64_t{kBlock})
            throw std::runtime_error("short write");
          --under_way;
        }
      }
    }
    file.commit();
  }

  void save(const std::string& how) {
    const WriteMode mode = how == "io_uring"   ? WriteMode::io_uring
                           : how == "threads"  ? WriteMode::threads
                           : how == "buffered" ? WriteMode::buffered
                                               : WriteMode::automatic;
    used_ = how + " (" +
            format::name_of(format::write_container(path_, state_.contents(), {.mode = mode}).mode) + ")";
  }

  // Forgets what the page cache holds of the file.
  void cool() const {
    const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }

  double read() const {
    cool();
    const std::uint64_t blocks = std::filesystem::file_size(path_) / kBlock;
    const Clock::time_point start = Clock::now();
    std::atomic<std::uint64_t> next = 0;
    const auto work = [&] {
      const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
      const format::BlockMemory buffer(kBlock);
      for (std::uint64_t block; (block = next++) < blocks;)
        if (::pread(file, buffer.data(), kBlock, static_cast<off_t>(block * kBlock)) < 0) std::abort();
      ::close(file);
    };
    std::thread other(work);
    work();
    other.join();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  double verify(const std::string& how) const {
    cool();
    const Clock::time_point start = Clock::now();
    const auto access = how == "read" ? format::Access::read : format::Access::map;
    format::Container::open(path_, {access}).verify_all();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  double load() {
    std::vector<std::byte> arena(state_.bytes() + (std::size_t{64} << 10));
    std::ofstream("/proc/self/clear_refs") << 5;
    const double before = memory("VmRSS");
    cool();
    const Clock::time_point start = Clock::now();
    const format::Container file = format::Container::open(path_, {format::Access::read});
    std::span<std::byte> rest = arena;
    for (const format::TensorRecord& tensor : file.tensors()) {
      file.read(tensor, rest.first(file.byte_size(tensor)));
      rest = rest.subspan(file.byte_size(tensor));
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    used_ = fmt::format("{:.1f} MiB beside the model", memory("VmHWM") - before);
    return seconds;
  }

  double open() const {
    std::vector<double> times;
    for (int i = 0; i < 51; ++i) {
      const Clock::time_point start = Clock::now();
      (void)format::Container::open(path_);
      times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::ranges::nth_element(times, times.begin() + 25);
    return times[25];
  }

  State state_;
  std::filesystem::path path_, raw_path_;
  std::string used_;
};

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: checkpoint_io MODEL FOLDER\n";
    return 2;
  }
  vitrail::Bench bench(argv[1], argv[2]);
  for (std::string what, how; std::cin >> what >> how;) {
    bench.run(what, how);
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
