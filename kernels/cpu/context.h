#pragma once
// What every CPU op gets: the pool, and scratch memory of its own for each worker.

#include <cstddef>
#include <vector>

#include "kernels/cpu/thread_pool.h"

namespace vitrail::cpu {

// Who multiplies matrices.
enum class Gemm : std::uint8_t { vitrail, onednn, eigen };
struct Products {
  Gemm f32 = Gemm::eigen;
  bool onednn_bf16 = false;  // else by pairs
  Gemm int8 = Gemm::eigen;   // that is, plainly
  int int8_limit = 127;      // of a quantized weight (kernels/quantize.h)
};

class Context {
 public:
  Context(int threads, const Products& products, bool pin);
  ~Context();

  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  const Products& products() const { return products_; }

  // At least `bytes` of 64-byte aligned memory that belongs to `worker` until its task ends. Grows on first
  // use and is then kept, so that a training step allocates nothing. Contents are not defined.
  std::byte* scratch(int worker, std::size_t bytes);

  // The same beside it, for a product that packs its factors.
  std::byte* packing_scratch(int worker, std::size_t bytes);

  // The same, shared by all workers of one op: call it before parallel_for.
  std::byte* shared_scratch(std::size_t bytes);

 private:
  struct Block {
    std::byte* data = nullptr;
    std::size_t size = 0;
  };
  static std::byte* grown(Block& block, std::size_t bytes);

  ThreadPool pool_;
  Products products_;
  std::vector<Block> blocks_;  // one a worker, one for each to pack in, then the shared one
};

}  // namespace vitrail::cpu
