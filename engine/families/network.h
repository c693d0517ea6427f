#pragma once
// Sizes and switches from the names and shapes of tensors.

#include "engine/families/family.h"

namespace vitrail::families {

// Sets `family.config`, except for what no tensor tells, and its flags. Throws ConfigError when the position
// embedding makes no square.
void infer_network(Renamed& renamed, const Known<std::int64_t>& img_size, Family& family);

}  // namespace vitrail::families
