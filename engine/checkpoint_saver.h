#pragma once
// Checkpoints written by a thread of their own while training goes on, one at a time.

#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "engine/checkpoint.h"
#include "engine/update_gate.h"

namespace vitrail {

// How a file is written; a test may put something else in its place.
using ContainerWriter = std::function<format::WriteResult(
    const std::filesystem::path&, const format::ContainerContents&, const format::WriteOptions&)>;

// How a save ended.
struct SaveOutcome {
  std::exception_ptr error;    // null: the file is durable
  format::WriteResult result;  // when it is
  double seconds = 0;          // from its begin to its end, the copy included
};

class CheckpointSaver {
 public:
  // Takes the memory that staging needs, and touches it. `tensors` must outlive the saver; `mid_step`: a save
  // may come in the middle of a step, and then has gradients too. `writer` empty: format::write_container.
  CheckpointSaver(Backend& backend, SaveMode mode, const CheckpointTensors& tensors, bool mid_step,
                  ContainerWriter writer = {});
  ~CheckpointSaver();  // waits for the save under way
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  struct Request {
    std::filesystem::path path;
    format::Table root;
    bool gradients = false;
    std::function<void()> then;  // by the thread that wrote, once the file is durable; must not throw
  };
  // Saves the tensors as they are now. Not while busy().
  void begin(Request request);
  bool busy() const { return begun_; }  // until the outcome has been taken
  std::optional<SaveOutcome> poll();    // the outcome, when there is one
  std::optional<SaveOutcome> wait();    // nothing only when there was nothing to wait for

  // What staging needs for `sets` sets of parameters.
  static std::size_t arena_bytes_for(const VitConfig& config, DType dtype, int sets);

  // Asked before a parameter is changed; what reads on the device is fenced off (Backend::fence_downloads).
  UpdateGate& gate() { return gate_; }
  // Before the gradients are changed.
  void await_gradients();

  std::size_t arena_bytes() const { return arena_bytes_; }
  // For which training stood still: copies, waits for the gate and in wait(), and whole saves that are sync.
  double seconds_blocked() const { return seconds_blocked_ + gate_.seconds_waited(); }

 private:
  struct FreeArena {
    Backend* backend;
    void operator()(std::byte* data) const;
  };
  void allocate(const CheckpointTensors& tensors, bool mid_step);
  format::ContainerContents contents(Request& request);
  void close_gate(const format::ContainerContents& file);
  void release(const format::TensorRecord& record);
  SaveOutcome write(const Request& request, const format::ContainerContents& file);

  Backend& backend_;
  SaveMode mode_;
  CheckpointTensors tensors_;
  ContainerWriter writer_;
  std::unique_ptr<std::byte, FreeArena> arena_;
  std::size_t arena_bytes_ = 0;
  UpdateGate gate_;
  bool gradients_copied_ = false;                           // perhaps still: begin_download() on the device
  std::map<std::string, std::size_t, std::less<>> places_;  // of parameters in a set, by name

  bool begun_ = false;
  std::atomic<bool> ended_ = false;
  std::chrono::steady_clock::time_point begun_at_;
  SaveOutcome outcome_;  // the writing thread's until ended_
  std::thread thread_;
  double seconds_blocked_ = 0;
};

}  // namespace vitrail
