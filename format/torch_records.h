#pragma once
// Dense tensors of a `.pt`'s views into its storages.

#include <memory>
#include <vector>

#include "format/tensor_record.h"
#include "format/torch_parts.h"

namespace vitrail::format {

using OwnedBytes = std::vector<std::unique_ptr<std::byte[]>>;

// One record for each of the pickle's places. Views of the storages where those are dense and aligned to the
// elements; else of new memory, of which at most `budget` bytes go to `owned`. Throws FormatError.
std::vector<TensorRecord> torch_records(const TorchParts& parts, std::uint64_t budget, OwnedBytes& owned);

}  // namespace vitrail::format
