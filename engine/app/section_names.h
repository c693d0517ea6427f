#pragma once
// Metadata in words: what the fields of a file are called, what they hold, and in what two files differ.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "format/message.h"

namespace vitrail::app {

// Fields that this build does not know by name, in the root and in the sections it knows.
std::int64_t unknown_fields(const format::Table& root);

struct FieldDifference {
  std::string field;  // "schedule.step", "settings.opt.lr"
  std::string a, b;   // in words; empty where it is missing
};

// Fields that follow from the tensors are left out.
std::vector<FieldDifference> differences(const format::Table& a, const format::Table& b);

}  // namespace vitrail::app
