#pragma once
// What is in a file of weights of another format.

#include <nlohmann/json.hpp>

#include "engine/app/console.h"

namespace vitrail::app {

void show_foreign(Console& console, const std::filesystem::path& path);
nlohmann::ordered_json foreign_json(const std::filesystem::path& path);

}  // namespace vitrail::app
