#include "tests/support/app_program.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace vitrail::test {
namespace {

namespace fs = std::filesystem;

void point_at_file(int descriptor, const fs::path& path) {
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  dup2(file, descriptor);
}

[[noreturn]] void become_program(const fs::path& folder, const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(VITRAIL_TEST_BINARY)};
  for (const std::string& argument : arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  if (chdir(folder.c_str()) == 0) execv(VITRAIL_TEST_BINARY, argv.data());
  _exit(127);
}

int exit_code(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void write_idx(const fs::path& path, const std::vector<std::uint32_t>& extents,
               const std::vector<std::uint8_t>& data) {
  std::ofstream file(path, std::ios::binary);
  const char head[] = {0, 0, 8, static_cast<char>(extents.size())};
  file.write(head, 4);
  for (const std::uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8)
      file.put(static_cast<char>(extent >> shift));
  }
  file.write(reinterpret_cast<const char*>(data.data()), std::ssize(data));
}

void write_part(const fs::path& folder, const std::string& part, int images, unsigned salt) {
  std::vector<std::uint8_t> pixels, labels;
  unsigned noise = salt;
  for (int i = 0; i < images; ++i) {
    const int label = i % 4;
    labels.push_back(static_cast<std::uint8_t>(label));
    for (int at = 0; at < 64; ++at) {
      noise = noise * 1664525u + 1013904223u;
      const bool bright = (at / 8 / 4) * 2 + at % 8 / 4 == label;
      pixels.push_back(static_cast<std::uint8_t>((bright ? 180 : 20) + (noise >> 24) % 50));
    }
  }
  const auto count = static_cast<std::uint32_t>(images);
  write_idx(folder / (part + "-images-idx3-ubyte"), {count, 8, 8}, pixels);
  write_idx(folder / (part + "-labels-idx1-ubyte"), {count}, labels);
}

}  // namespace

RunningProgram::RunningProgram(const fs::path& folder, const std::vector<std::string>& arguments,
                               const Limits& limits)
    : folder_(folder), pid_(fork()) {
  if (pid_ < 0) throw std::runtime_error("no new process");
  if (pid_ > 0) return;
  point_at_file(STDOUT_FILENO, folder / "stdout.txt");
  point_at_file(STDERR_FILENO, folder / "stderr.txt");
  if (limits.file_bytes > 0) {
    const rlimit limit{limits.file_bytes, limits.file_bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  become_program(folder, arguments);
}

RunningProgram::~RunningProgram() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  exit_code(pid_);
}

void RunningProgram::signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

Outcome RunningProgram::wait() {
  Outcome outcome;
  outcome.code = exit_code(pid_);
  pid_ = -1;
  outcome.out = read_file(folder_ / "stdout.txt");
  outcome.err = read_file(folder_ / "stderr.txt");
  return outcome;
}

Outcome run_program(const fs::path& folder, const std::vector<std::string>& arguments, const Limits& limits) {
  return RunningProgram(folder, arguments, limits).wait();
}

Outcome run_on_terminal(const fs::path& folder, const std::vector<std::string>& arguments, int columns) {
  winsize size{};
  size.ws_row = 25;
  size.ws_col = static_cast<unsigned short>(columns);
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, &size);
  if (pid < 0) throw std::runtime_error("no terminal");
  if (pid == 0) {
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    become_program(folder, arguments);
  }
  Outcome outcome;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(terminal, buffer, sizeof buffer)) > 0;) {
    outcome.out.append(buffer, static_cast<std::size_t>(count));
  }
  outcome.code = exit_code(pid);
  close(terminal);
  return outcome;
}

void write_quarters(const fs::path& folder, int train_images, int test_images) {
  fs::create_directories(folder);
  write_part(folder, "train", train_images, 1);
  write_part(folder, "t10k", test_images, 2);
}

std::vector<std::string> tiny_run(const std::string& out, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "train",        "data=quarters", "out=" + out,    "epochs=2",  "batch=16",       "model.patch_size=4",
      "model.dim=16", "model.depth=1", "model.heads=2", "threads=1", "data_threads=1", "model.img_size=8"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<nlohmann::json> read_metrics(const fs::path& run) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);)
    lines.push_back(nlohmann::json::parse(line));
  return lines;
}

bool wait_for_metrics(const fs::path& run, std::size_t lines) {
  for (int i = 0; i < 3000; ++i) {
    const std::string text = read_file(run / "metrics.jsonl");
    if (static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) >= lines) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace vitrail::test
