#include "kernels/cpu/context.h"

#include <new>

namespace vitrail::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

Context::Context(int threads, const Products& products)
    : pool_(threads), products_(products), blocks_(static_cast<std::size_t>(threads) + 1) {}

Context::~Context() {
  for (Block& block : blocks_)
    ::operator delete(block.data, kAlignment);
}

std::byte* Context::scratch(int worker, std::size_t bytes) {
  return grown(blocks_[static_cast<std::size_t>(worker)], bytes);
}

std::byte* Context::shared_scratch(std::size_t bytes) {
  return grown(blocks_.back(), bytes);
}

std::byte* Context::grown(Block& block, std::size_t bytes) {
  if (block.size >= bytes) return block.data;
  ::operator delete(block.data, kAlignment);
  block = {};
  block.data = static_cast<std::byte*>(::operator new(bytes, kAlignment));
  block.size = bytes;
  return block.data;
}

}  // namespace vitrail::cpu
