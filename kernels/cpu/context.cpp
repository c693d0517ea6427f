#include "kernels/cpu/context.h"

#include "kernels/cpu/pages.h"

namespace vitrail::cpu {

Context::Context(int threads, const Products& products, bool pin)
    : pool_(threads, pin), products_(products), blocks_(2 * static_cast<std::size_t>(threads) + 1) {}

Context::~Context() {
  for (Block& block : blocks_)
    free_pages(block.data);
}

std::byte* Context::scratch(int worker, std::size_t bytes) {
  return grown(blocks_[static_cast<std::size_t>(worker)], bytes);
}

std::byte* Context::packing_scratch(int worker, std::size_t bytes) {
  return grown(blocks_[static_cast<std::size_t>(threads() + worker)], bytes);
}

std::byte* Context::shared_scratch(std::size_t bytes) {
  return grown(blocks_.back(), bytes);
}

std::byte* Context::grown(Block& block, std::size_t bytes) {
  if (block.size >= bytes) return block.data;
  free_pages(block.data);
  block = {};
  block.data = allocate_pages(bytes);
  block.size = bytes;
  return block.data;
}

}  // namespace vitrail::cpu
