#pragma once
// The model's state dict in what a training program saved around it, and its names without the prefixes that
// wrappers of modules put before them.

#include <span>
#include <string>
#include <vector>

#include "engine/model_io.h"
#include "format/datum.h"
#include "format/tensor_record.h"

namespace vitrail {

struct StateDict {
  std::vector<format::TensorRecord> tensors;  // in the file's order; tied ones are marked
  std::vector<std::string> notes;             // what was chosen, taken off and left out
};

// Of the tree of a `.pt` file and the tensors it points at. Throws format::FormatError when there is none,
// ConfigError when the average is asked for and not there.
StateDict read_state_dict(const format::Datum& root, std::span<const format::TensorRecord> tensors,
                          WeightChoice choice);

// Takes "module.", "_orig_mod." and "model." off, again and again, where all names have them.
void strip_prefixes(std::vector<format::TensorRecord>& tensors, std::vector<std::string>& notes);

}  // namespace vitrail
