#pragma once
// Trees and tensors as a pickle of protocol 2, with the opcodes and calls that torch's restricted reader of
// weights accepts (torch/_weights_only_unpickler.py).

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "format/datum.h"
#include "format/tensor_record.h"

namespace vitrail::format {

// A dense tensor at the beginning of a storage.
struct TensorInStorage {
  ElementType type = ElementType::f32;
  std::span<const std::int64_t> shape;
  std::size_t storage = 0;  // number; its key in decimal
  std::uint64_t storage_bytes = 0;
};

// `tensor` tells of the Datum::Tensor of an index; it is asked in the order of the pickle. Throws FormatError
// for an element type that torch does not have.
std::vector<std::byte> write_pickle(const Datum& root,
                                    const std::function<TensorInStorage(std::size_t)>& tensor);

}  // namespace vitrail::format
