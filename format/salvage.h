#pragma once
// What is left of a damaged file. Nothing is believed that no hash vouches for: a tensor is saved when its
// bytes have the hash that the directory states, and the directory is used when its own hash, or the content
// id, says that it is as it was written.

#include "format/container.h"
#include "format/source.h"

namespace vitrail::format {

struct LostTensor {
  std::string name;
  Role role = Role::parameter;
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  std::string reason;  // "cut off", "damaged in 2 of 12 chunks"
};

struct Salvage {
  std::vector<std::byte> head;  // put right; what follows views it
  FileKind kind = FileKind::weights;
  bool sections_whole = false;  // root is as it was written; else it holds the producer alone
  Table root;
  LaterVersion later;
  std::vector<TensorRecord> tensors;  // whole ones; they view the source, which must be mapped
  std::vector<LostTensor> lost;
  std::vector<std::string> notes;  // what was wrong with the head, and how it was put right

  bool complete() const { return sections_whole && lost.empty(); }
};

// `source` must be mapped and outlive the result. Throws FormatError when too little is left to find any
// tensor.
Salvage salvage(const Source& source);

// The best file that can be made of it: all there was; or a model, when every parameter and what a model
// needs are whole; or weights. Moving averages are left out of a model unless all of them are whole, because
// they would stand in for its parameters.
ContainerContents contents_of(const Salvage& salvage);

// The parts of salvage() that find the head; for it.
struct SalvagedHead {
  std::vector<std::byte> head;  // prologue, metadata, zeros: sealed anew
  std::vector<std::byte> footer;
  std::uint64_t file_bytes = 0;  // as it was written
  bool metadata_whole = false;
  std::vector<std::string> notes;
};
SalvagedHead salvage_head(const Source& source);

}  // namespace vitrail::format
