#pragma once
// Everything a device must do. run(op) checks the op's contract once and calls the device's execute; a device
// that lacks an op does not compile. A backend owns its threads, handles and workspace; there are no globals.

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/each_op.h"
#include "kernels/work.h"

namespace vitrail {

class Backend;

// Device memory, 4096-byte aligned, zero-filled; freed with the object. Movable, never copied by accident.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, std::size_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }  // bytes

 private:
  Backend* backend_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

struct BackendOptions {
  int threads = 0;            // 0: one per core this process may use
  std::string gemm = "auto";  // auto | vitrail | onednn | eigen (f32 products on the CPU; onednn: bf16 too)
  std::string isa = "auto";   // auto | avx2 | avx512 | avx512_bf16 (the CPU's vector code)
  bool pin = false;           // each thread of the CPU but the caller's stays on a core of its own
};

// What was chosen, for the first screen of a run.
struct BackendInfo {
  std::string device;      // "cpu"
  std::string name;        // the processor's own name
  std::string isa;         // vector instructions in use
  std::string gemm;        // who multiplies matrices
  std::string bf16 = {};   // who multiplies those of bf16
  bool fast_bf16 = false;  // by instructions made for it: faster than f32
  int threads = 1;
  bool own_memory = false;  // not the host's
};

// Time spent in one kind of op since profiling began, and what it had to do in that time.
struct OpTime {
  double seconds = 0;
  std::int64_t calls = 0;
  Work work;  // flops and bytes of all calls; the products of one
};

// What a device can do at most, with all of its threads; 0: not known.
struct DevicePeak {
  double f32_flops = 0, f64_flops = 0, bf16_flops = 0;  // a second
  double memory_bytes = 0;                              // a second, read or written

  double flops(DType dtype) const {
    return dtype == DType::f32    ? f32_flops
           : dtype == DType::f64  ? f64_flops
           : dtype == DType::bf16 ? bf16_flops
                                  : 0;
  }
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendInfo info() const = 0;

  virtual void zero(Out view) = 0;
  virtual void copy(Out to, In from) = 0;                                 // device to device
  virtual void upload(Out to, const void* from, std::size_t bytes) = 0;   // host to device
  virtual void download(void* to, In from, std::size_t bytes) const = 0;  // device to host
  // Where the host can read the view as it stands; null on a device with memory of its own.
  virtual const std::byte* host_bytes(In view) const = 0;
  // Bytes of the device's own memory that nobody has taken; nothing where its memory is the host's.
  virtual std::optional<std::uint64_t> free_memory() const { return std::nullopt; }

  // Copies that go on beside ops, where the device has memory of its own; elsewhere they are made at once.
  // prefetch() begins an upload, and deliver() ends it: ops run in between find `to` as it was. `from` stays
  // as it is until then. One at a time for each tensor; a second prefetch() takes the place of the first.
  virtual void prefetch(Out /*to*/, const void* /*from*/, std::size_t /*bytes*/) {}
  virtual void deliver(Out to, const void* from, std::size_t bytes) { upload(to, from, bytes); }
  // Copies `from` as the ops run so far leave it. `to`: page-locked; it is there after await_downloads(),
  // which any thread may call. Ops run after fence_downloads() may change `from`.
  virtual void begin_download(void* to, In from, std::size_t bytes) { download(to, from, bytes); }
  virtual void fence_downloads() {}
  virtual void await_downloads() const {}
  // Host memory that copies are to go on from or to: locked in place until it is unlocked.
  virtual void page_lock(std::byte* /*data*/, std::size_t /*bytes*/) {}
  virtual void page_unlock(std::byte* /*data*/) noexcept {}

  // Runs `ops`, which runs ops of this backend and nothing that waits. A device may record them first, in
  // which case they may be called twice, and start them as one thing; the results are the same bits.
  virtual void run_together(const std::function<void()>& ops) { ops(); }

  // Throws Error when the op's contract is broken or the device cannot compute in the op's dtype.
  template <class Op>
  void run(const Op& op) {
    op.check();
    if (!profiling_) return execute(op);
    mark();
    execute(op);
    mark();
    timed_.push_back({Op::kName, work_of(op)});
  }

  void set_profiling(bool on);  // forgets earlier times
  // By the op's name; linear ops by their shape too: "linear_forward 6304x192>576" (rows x in > out). Waits
  // for the ops.
  const std::map<std::string, OpTime>& profile();

  // Measured now, in about a fifth of a second.
  virtual DevicePeak measure_peak() { return {}; }

 protected:
  friend class Buffer;
  virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void deallocate(std::byte* data, std::size_t bytes) noexcept = 0;

#define VITRAIL_OP(Op) virtual void execute(const Op& op) = 0;
  VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

  bool profiling() const {
    return profiling_;
  }
  // Notes when everything run so far is done.
  virtual void mark();
  // Of all marks since the last call, in seconds from a beginning of their own.
  virtual std::vector<double> take_marks();

 private:
  struct Timed {
    const char* op;
    Work work;
  };
  void record(const Timed& timed, double seconds);

  bool profiling_ = false;
  std::vector<double> marks_;
  std::vector<Timed> timed_;  // whose marks have not been taken
  std::map<std::string, OpTime> profile_;
};

// device: "cpu", "cuda" (the first GPU), "cuda:N" (GPU number N, from 0) or "auto" (the first GPU where this
// build and machine have one, else the CPU). Throws Error, naming what is missing, when there is no such
// device.
std::unique_ptr<Backend> make_backend(const std::string& device, const BackendOptions& options = {});

}  // namespace vitrail
