#include <fmt/format.h>

#include <algorithm>

#include "engine/app/commands.h"
#include "engine/app/elements.h"
#include "engine/app/run_folder.h"
#include "engine/app/section_names.h"
#include "engine/app/tensor_diff.h"
#include "engine/app/text.h"
#include "engine/tensor_text.h"
#include "format/container.h"

namespace vitrail::app {
namespace {

constexpr const char* kDiffExamples =
    "Examples:\n"
    "  vitrail diff before.vitrail after.vitrail           fields and tensors that differ, and by how much\n"
    "  vitrail diff runs/a runs/b --fast                   by hashes alone: reads no tensor\n\n"
    "Tensors are compared by their hashes; only those that differ are read, for the largest change of an "
    "element:\n"
    "absolute, and relative to the larger of the two values. Exit code 0 when nothing differs, 1 when "
    "something does.";

struct DiffOptions {
  std::string a, b;
  bool fast = false, json = false;
};

struct Report {
  std::string kind_a, kind_b;
  std::vector<FieldDifference> fields;
  TensorDifferences tensors;

  bool equal() const { return kind_a == kind_b && fields.empty() && tensors.equal(); }
};

nlohmann::ordered_json describe(const format::TensorRecord& tensor) {
  return {{"name", tensor.name},
          {"role", role_text(tensor.role)},
          {"dtype", dtype_text(tensor.type)},
          {"shape", tensor.shape}};
}

nlohmann::ordered_json to_json(const ChangedTensor& changed) {
  nlohmann::ordered_json json = describe(*changed.a);
  json["chunks_changed"] = changed.chunks_changed;
  json["chunks"] = changed.chunks;
  if (!changed.change) return json;
  json["max_abs"] = json_number(changed.change->absolute);
  json["max_rel"] = json_number(changed.change->relative);
  json["elements_changed"] = changed.change->elements;
  return json;
}

nlohmann::ordered_json to_json(const DiffOptions& options, const Report& report) {
  nlohmann::ordered_json json{{"a", options.a}, {"b", options.b}, {"equal", report.equal()}};
  json["kind"] = {report.kind_a, report.kind_b};
  json["fields"] = nlohmann::ordered_json::array();
  for (const FieldDifference& field : report.fields)
    json["fields"].push_back({{"field", field.field}, {"a", field.a}, {"b", field.b}});
  nlohmann::ordered_json& tensors = json["tensors"];
  tensors["equal"] = report.tensors.same;
  for (const char* list : {"changed", "reshaped", "removed", "added"})
    tensors[list] = nlohmann::ordered_json::array();
  for (const ChangedTensor& changed : report.tensors.changed)
    tensors["changed"].push_back(to_json(changed));
  for (const auto& [a, b] : report.tensors.reshaped)
    tensors["reshaped"].push_back({{"a", describe(*a)}, {"b", describe(*b)}});
  for (const format::TensorRecord* tensor : report.tensors.removed)
    tensors["removed"].push_back(describe(*tensor));
  for (const format::TensorRecord* tensor : report.tensors.added)
    tensors["added"].push_back(describe(*tensor));
  return json;
}

std::string named(const format::TensorRecord& tensor) {
  return fmt::format("{} ({})", tensor.name, role_text(tensor.role));
}

std::string typed(const format::TensorRecord& tensor) {
  return dtype_text(tensor.type) + " " + shape_text(tensor.shape);
}

void show_tensors(Console& console, const TensorDifferences& tensors) {
  for (const ChangedTensor& changed : tensors.changed) {
    std::string by =
        changed.chunks > 1 ? fmt::format("  {} of {} chunks", changed.chunks_changed, changed.chunks) : "";
    if (changed.change) {
      by += fmt::format("  largest change {:.3g}, relative {:.3g}, in {} of {} elements",
                        changed.change->absolute, changed.change->relative,
                        count_text(static_cast<std::int64_t>(changed.change->elements)),
                        count_text(element_count(changed.a->shape)));
    }
    console.row("Changed", fmt::format("{}  {}{}", named(*changed.a), typed(*changed.a), by));
  }
  for (const auto& [a, b] : tensors.reshaped)
    console.row("Reshaped", fmt::format("{}  {} → {}", named(*a), typed(*a), typed(*b)));
  for (const format::TensorRecord* tensor : tensors.removed)
    console.row("Removed", fmt::format("{}  {}", named(*tensor), typed(*tensor)));
  for (const format::TensorRecord* tensor : tensors.added)
    console.row("Added", fmt::format("{}  {}", named(*tensor), typed(*tensor)));
}

void show(Console& console, const Report& report) {
  if (report.kind_a != report.kind_b)
    console.row("Kind", fmt::format("{} → {}", report.kind_a, report.kind_b));
  for (const FieldDifference& field : report.fields) {
    const auto shown = [](const std::string& value) { return value.empty() ? "(none)" : fit(value, 60); };
    console.row("Field", fmt::format("{}  {} → {}", field.field, shown(field.a), shown(field.b)));
  }
  show_tensors(console, report.tensors);
  const TensorDifferences& tensors = report.tensors;
  if (report.equal()) return console.row("Equal", fmt::format("all {} tensors, all fields", tensors.same));
  console.row("Differ",
              fmt::format("{} fields; {} tensors equal, {} changed, {} reshaped, {} removed, {} added",
                          report.fields.size(), tensors.same, tensors.changed.size(), tensors.reshaped.size(),
                          tensors.removed.size(), tensors.added.size()));
}

ExitCode diff_command(Console& console, const DiffOptions& options) {
  console.set_quiet(options.json);
  const format::Container a = format::Container::open(model_file(options.a, Prefer::last));
  const format::Container b = format::Container::open(model_file(options.b, Prefer::last));
  Report report{.kind_a = format::name_of(a.kind()),
                .kind_b = format::name_of(b.kind()),
                .fields = differences(a.root(), b.root()),
                .tensors = compare_tensors(a, b)};
  if (!options.fast) {
    for (ChangedTensor& changed : report.tensors.changed) {
      console.announce(fmt::format("comparing {}", changed.a->name));
      measure(a, b, changed);
    }
  }
  if (options.json) {
    console.document(to_json(options, report).dump(2));
  } else {
    show(console, report);
  }
  return report.equal() ? ExitCode::done : ExitCode::different;
}

}  // namespace

void add_diff(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("diff", "In what two .vitrail files differ");
  auto options = std::make_shared<DiffOptions>();
  command->add_option("a", options->a, "a run's folder or a .vitrail file")->required();
  command->add_option("b", options->b, "another")->required();
  command->add_flag("--fast", options->fast, "by hashes alone, without the size of changes");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kDiffExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return diff_command(console, *options); };
  });
}

}  // namespace vitrail::app
