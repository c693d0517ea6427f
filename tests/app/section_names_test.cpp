#include "engine/app/section_names.h"

#include <doctest/doctest.h>

#include "format/sections.h"

using namespace vitrail::app;
using vitrail::format::Table;
namespace section = vitrail::format::section;

namespace {

Table sample(std::int64_t step, double lr, const std::vector<std::string>& settings) {
  Table root, schedule, group, groups, optimizer, user, input;
  schedule.set(section::schedule::kStep, step);
  group.set(section::optimizer::kWeightDecay, lr);
  groups.set(0, group);
  optimizer.set(section::optimizer::kGroups, groups);
  user.set(section::user::kSettings, settings);
  input.set(section::input::kLabels, std::vector<std::string>{"cat", lr > 1 ? "dog" : "cow"});
  input.set(section::input::kMean, std::vector<double>{lr});
  root.set(section::kProducer, "test");
  root.set(section::kOptimizer, optimizer);
  root.set(section::kSchedule, schedule);
  root.set(section::kInput, input);
  root.set(section::kUser, user);
  root.set(section::kNames, std::vector<std::string>{"derived " + std::to_string(step)});
  return root;
}

}  // namespace

TEST_CASE("differences between two roots are named, those that follow from tensors are not") {
  const Table a = sample(1, 1.0, {"lr=1", "seed=3", "old=1"});
  CHECK(differences(a, a).empty());
  const Table b = sample(2, 1.5, {"lr=2", "new=0", "seed=3"});
  std::vector<std::string> lines;
  for (const FieldDifference& difference : differences(a, b))
    lines.push_back(difference.field + ": " + difference.a + " > " + difference.b);
  CHECK(lines == std::vector<std::string>{"optimizer.groups.0.weight_decay: 1 > 1.5", "schedule.step: 1 > 2",
                                          "input.mean: [1] > [1.5]", "input.labels.1: cow > dog",
                                          "settings.lr: 1 > 2", "settings.new:  > 0", "settings.old: 1 > "});
}

TEST_CASE("fields that one of the two lacks, and fields without a name") {
  Table a, b, model;
  model.set(99, true);
  b.set(section::kModel, model);
  b.set(600, "private");
  const std::vector<FieldDifference> found = differences(a, b);
  REQUIRE(found.size() == 2);
  CHECK(found[0].field == "model");
  CHECK(found[0].a.empty());
  CHECK(found[1].field == "field 600");
  CHECK(found[1].b == "private");
}

TEST_CASE("fields that this build does not know are counted") {
  Table root = sample(1, 1, {});
  CHECK(unknown_fields(root) == 0);
  Table model, optimizer, groups, group, user;
  model.set(33, true);
  group.set(4, 0.5);
  groups.set(0, group);
  optimizer.set(section::optimizer::kGroups, groups);
  optimizer.set(100, true);
  user.set(700, "free");
  root.set(section::kModel, model);
  root.set(section::kOptimizer, optimizer);
  root.set(section::kUser, user);
  root.set(512, "private");
  CHECK(unknown_fields(root) == 4);
}
