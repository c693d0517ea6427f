#pragma once
// What both forms of a `.pt` come to: a tree, and the bytes of its storages.

#include <string>
#include <vector>

#include "format/pickle.h"
#include "format/zip.h"

namespace vitrail::format {

struct TorchParts {
  Pickle pickle;
  std::vector<Bytes> storages;  // one for each of the pickle's, of its size
};

// Messages begin with `where`. Throw FormatError.
TorchParts read_torch_zip(const ZipReader& zip,
                          const std::string& where);                 // does not check the storages' CRCs
TorchParts read_torch_legacy(Bytes file, const std::string& where);  // before torch 1.6
bool is_torch_legacy(Bytes file);

}  // namespace vitrail::format
