#include "engine/checkpoint_saver.h"

#include <sys/mman.h>

#include <cassert>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "engine/sections.h"

namespace vitrail {
namespace {

using format::ContainerContents;
using format::Role;
using format::TensorRecord;

// Tensors begin on pages: they can then go to the disk without passing through another buffer.
constexpr std::size_t kPage = 4096;
constexpr std::align_val_t kArenaAlignment{std::size_t{2} << 20};  // a huge page, where the system has them

std::size_t on_pages(std::size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

std::size_t bytes_of(const ParamTensor& tensor) {
  return static_cast<std::size_t>(tensor.view.shape.elements()) * size_of(tensor.view.dtype);
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Adds its lifetime.
class Timer {
 public:
  explicit Timer(double& total) : total_(total) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { total_ += seconds_since(start_); }

 private:
  double& total_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

CheckpointSaver::CheckpointSaver(Backend& backend, SaveMode mode, const CheckpointTensors& tensors,
                                 bool mid_step, ContainerWriter writer)
    : backend_(backend),
      mode_(mode),
      tensors_(tensors),
      writer_(writer ? std::move(writer) : ContainerWriter(format::write_container)) {
  const std::span<const ParamTensor> parameters = tensors.weights.tensors();
  for (std::size_t p = 0; p < parameters.size(); ++p)
    places_[parameters[p].spec.name] = p;
  // What the host cannot read where it stands is copied whatever the mode.
  const bool readable = backend.host_bytes(tensors.weights.flat()) != nullptr;
  if (mode == SaveMode::staged || !readable) allocate(tensors, mid_step);
}

CheckpointSaver::~CheckpointSaver() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointSaver::FreeArena::operator()(std::byte* data) const {
  backend->page_unlock(data);
  ::operator delete(data, kArenaAlignment);
}

std::size_t CheckpointSaver::arena_bytes_for(const VitConfig& config, DType dtype, int sets) {
  std::size_t bytes = 0;
  VitParams places;
  visit_params(config, places, [&](const ParamSpec& spec, Out&) {
    bytes += on_pages(static_cast<std::size_t>(spec.shape.elements()) * size_of(dtype));
  });
  return bytes * static_cast<std::size_t>(sets);
}

void CheckpointSaver::allocate(const CheckpointTensors& tensors, bool mid_step) {
  for (const RoleSet& set : checkpoint_sets(tensors, mid_step)) {
    for (const ParamTensor& tensor : set.params->tensors())
      arena_bytes_ += on_pages(bytes_of(tensor));
  }
  arena_ = {static_cast<std::byte*>(::operator new(arena_bytes_, kArenaAlignment)), FreeArena{&backend_}};
  (void)::madvise(arena_.get(), arena_bytes_, MADV_HUGEPAGE);  // a hint; small pages do as well
  std::memset(arena_.get(), 0, arena_bytes_);
  backend_.page_lock(arena_.get(), arena_bytes_);
}

void CheckpointSaver::begin(Request request) {
  assert(!busy());
  const Timer timer(seconds_blocked_);
  begun_at_ = Clock::now();
  gradients_copied_ = arena_ && request.gradients;
  ContainerContents file = contents(request);
  ended_ = false;
  if (mode_ == SaveMode::sync) {
    outcome_ = write(request, file);
    ended_ = true;
  } else {
    if (!arena_) close_gate(file);
    try {
      thread_ = std::thread([this, request = std::move(request), file = std::move(file)] {
        outcome_ = write(request, file);
        ended_.store(true, std::memory_order_release);
      });
    } catch (...) {
      gate_.open();
      throw;
    }
  }
  begun_ = true;
}

// The records, and with an arena the copies they point to, which may still be on their way.
ContainerContents CheckpointSaver::contents(Request& request) {
  ContainerContents file{
      .kind = format::FileKind::checkpoint, .root = std::move(request.root), .tensors = {}};
  std::size_t used = 0;
  for (const RoleSet& set : checkpoint_sets(tensors_, request.gradients)) {
    for (const ParamTensor& tensor : set.params->tensors()) {
      const std::size_t bytes = bytes_of(tensor);
      const std::byte* data = backend_.host_bytes(tensor.view);
      if (arena_) {
        assert(used + bytes <= arena_bytes_);
        backend_.begin_download(arena_.get() + used, tensor.view, bytes);
        data = arena_.get() + used;
        used += on_pages(bytes);
      }
      file.tensors.push_back(record_of(tensor, set.role));
      file.tensors.back().bytes = {data, bytes};
    }
  }
  return file;
}

// The file has its tensors by role, then name, so the writer is through with a parameter when it has read its
// second moment. Parameters come free in the order of their names, and are updated as they do.
void CheckpointSaver::close_gate(const ContainerContents& file) {
  std::vector<int> readings(places_.size());
  int gradients = 0;
  for (const TensorRecord& record : file.tensors) {
    if (record.role == Role::accumulated_gradient) {
      ++gradients;
    } else {
      ++readings[places_.at(record.name)];
    }
  }
  gate_.close(std::move(readings), gradients);
}

void CheckpointSaver::release(const TensorRecord& record) {
  if (record.role == Role::accumulated_gradient) return gate_.release_gradient();
  gate_.release(places_.at(record.name));
}

SaveOutcome CheckpointSaver::write(const Request& request, const ContainerContents& file) {
  SaveOutcome outcome;
  const bool gated = mode_ == SaveMode::barrier && !arena_;
  format::WriteOptions options;
  if (gated) options.on_consumed = [this](const TensorRecord& record) { release(record); };
  try {
    if (arena_) backend_.await_downloads();
    outcome.result = writer_(request.path, file, options);
  } catch (...) {
    outcome.error = std::current_exception();
  }
  if (gated) gate_.open();
  outcome.seconds = seconds_since(begun_at_);
  if (!outcome.error && request.then) request.then();
  return outcome;
}

void CheckpointSaver::await_gradients() {
  gate_.await_gradients();
  if (std::exchange(gradients_copied_, false)) backend_.fence_downloads();
}

std::optional<SaveOutcome> CheckpointSaver::poll() {
  if (!begun_ || !ended_.load(std::memory_order_acquire)) return std::nullopt;
  if (thread_.joinable()) thread_.join();
  begun_ = false;
  return std::exchange(outcome_, {});
}

std::optional<SaveOutcome> CheckpointSaver::wait() {
  if (!begun_) return std::nullopt;
  const Timer timer(seconds_blocked_);
  if (thread_.joinable()) thread_.join();
  return poll();
}

}  // namespace vitrail
