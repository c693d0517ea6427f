#pragma once

#include "format/container.h"

namespace vitrail::format {

// Everything a file holds, to be written again: with fields, roles, element types and longer rows of a later
// version that this build does not understand. `file` must outlive it. Reads and checks every tensor.
ContainerContents contents_of(const Container& file);

// Reads a file and writes it again; a file that was written by the rules comes out with the same bytes.
// Throws FormatError, FileError.
WriteResult copy_container(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace vitrail::format
