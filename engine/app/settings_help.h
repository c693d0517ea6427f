#pragma once

#include <string>

namespace vitrail::app {

// Every setting with what it accepts, its default and its meaning, for `vitrail train --help`.
std::string settings_help();

}  // namespace vitrail::app
