#pragma once
// The built program, run as people run it: arguments in, exit code and both output streams out.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/read_file.h"

namespace vitrail::test {

struct Outcome {
  int code = -1;  // exit code, or 256 + signal
  std::string out, err;
};

struct Limits {
  std::uint64_t file_bytes = 0;  // largest file it may write; 0: any
};

// A running program with its streams in files of `folder`, which is also its working folder.
class RunningProgram {
 public:
  RunningProgram(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                 const Limits& limits = {});
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  void signal(int number) const;
  Outcome wait();

 private:
  std::filesystem::path folder_;
  pid_t pid_ = -1;
};

Outcome run_program(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                    const Limits& limits = {});

// What appears on a terminal of `columns` columns; both streams go there.
Outcome run_on_terminal(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                        int columns);

// An IDX data set that can be learnt: 8 × 8 grey images in 4 classes, a bright quarter each.
void write_quarters(const std::filesystem::path& folder, int train_images, int test_images);

// "train", data, out, and settings for a run of less than a second: 4 steps an epoch, 2 epochs.
std::vector<std::string> tiny_run(const std::string& out, const std::vector<std::string>& more = {});

std::vector<nlohmann::json> read_metrics(const std::filesystem::path& run);
// Waits until the run has logged `lines` lines; false after half a minute.
bool wait_for_metrics(const std::filesystem::path& run, std::size_t lines);

}  // namespace vitrail::test
