#pragma once
// Files of other formats, told by their first bytes.

#include <filesystem>

namespace vitrail::app {

// Weights in a format that vitrail can import: of PyTorch, safetensors, NumPy.
bool is_importable(const std::filesystem::path& file);

// Throws format::FormatError saying what the file is and what to do, when it is known to be of another
// format, empty or text. Anything else is left to the verifier.
void refuse_foreign(const std::filesystem::path& file);

}  // namespace vitrail::app
