#pragma once
// The kinds of data behind open_data().

#include <filesystem>
#include <string>

#include "engine/data/dataset.h"

namespace vitrail {

// Whether a folder holds the training images of MNIST's four files, plain or packed.
bool has_idx_files(const std::filesystem::path& folder);

// MNIST's files in `folder`. Without test files, validation images are set aside. `class_names` may be empty:
// then classes are named by their numbers. All fields but `spec` are filled.
DataSource open_idx(const std::filesystem::path& folder, std::vector<std::string> class_names,
                    const DataOptions& options);

// Class folders of PNG and JPEG files. All fields but `spec` are filled.
DataSource open_folder(const std::filesystem::path& folder, const DataOptions& options);

std::string grouped(std::int64_t number);  // "70 000"

}  // namespace vitrail
