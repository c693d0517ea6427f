#pragma once
// Pickles of PyTorch's files, read by a machine that knows data only: the opcodes of protocol 2 that
// torch.save writes, and the globals of pickle_globals.h. Nothing is imported, called or executed; anything
// else is refused by its name and byte. Sources: pickletools.py of CPython, torch/_weights_only_unpickler.py,
// torch/_utils.py.

#include <cstdint>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/datum.h"
#include "format/error.h"
#include "format/tensor_record.h"

namespace vitrail::format {

struct PickleLimits {
  std::size_t bytes = std::size_t{64} << 20;   // of the pickle
  std::size_t memory = std::size_t{64} << 20;  // of the machine, and of the tree that comes out of it
  std::size_t opcodes = std::size_t{8} << 20;
  int depth = 64;  // of the tree
};

struct PickledStorage {
  std::string key;
  std::int64_t bytes = 0;
  std::int64_t element_bytes = 1;
};

struct PickledTensor {
  std::size_t storage = 0;  // index
  ElementType type = ElementType::f32;
  std::int64_t begin = 0;                    // of its first element, in bytes from the storage's beginning
  std::vector<std::int64_t> shape, strides;  // in elements; all of it lies inside the storage
};

struct Pickle {
  // Containers that the pickle shares are copied. Tuples of sizes are tuples, OrderedDict, Counter and
  // argparse.Namespace dicts, devices and dtypes texts ("torch.float32"). Attributes of an OrderedDict
  // (`_metadata`) are left out.
  Datum root;
  std::vector<PickledStorage> storages;  // in the order of their first use
  std::vector<PickledTensor> tensors;
  struct Place {
    std::string name;        // the last key on the way from the root
    std::size_t tensor = 0;  // index
  };
  std::vector<Place> places;  // what a Datum::Tensor of the tree points to
  std::size_t bytes = 0;      // of the pickle; others may follow
};

// Reads one pickle from the beginning of `bytes`. `where` begins every message ("model.pt: data.pkl"). Throws
// FormatError.
Pickle read_pickle(Bytes bytes, const std::string& where, const PickleLimits& limits = {});

}  // namespace vitrail::format
