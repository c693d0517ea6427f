#include <fmt/format.h>

#include <algorithm>

#include "engine/app/commands.h"
#include "engine/app/run_folder.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/tensor_text.h"
#include "format/container.h"

namespace vitrail::app {
namespace {

constexpr const char* kLsExamples =
    "Examples:\n"
    "  vitrail ls runs/flowers-1                       the tensors of its last.vitrail\n"
    "  vitrail ls model.vitrail 'blocks.0.*'           those whose name matches; * and ? stand for anything\n"
    "  vitrail ls run/last.vitrail --role first_moment --json\n\n"
    "Reads the head of the file only. A hash is shortened to 12 of its 32 digits, except with --json.";

struct LsOptions {
  std::string file, pattern = "*", role;
  bool json = false;
};

std::vector<const format::TensorRecord*> selected(const format::Container& file, const LsOptions& options) {
  if (options.role.empty()) return file.select(options.pattern);
  return file.select(parse_role(options.role), options.pattern);
}

nlohmann::ordered_json to_json(const format::Container& file, const LsOptions& options) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const format::TensorRecord* tensor : selected(file, options)) {
    rows.push_back({{"name", tensor->name},
                    {"role", role_text(tensor->role)},
                    {"dtype", dtype_text(tensor->type)},
                    {"shape", tensor->shape},
                    {"bytes", file.byte_size(*tensor)},
                    {"offset", file.offset(*tensor)},
                    {"hash", to_hex(file.hash(*tensor))}});
    if (!tensor->alias_of.empty()) rows.back()["alias_of"] = tensor->alias_of;
  }
  return {{"file", file.name()}, {"kind", format::name_of(file.kind())}, {"tensors", rows}};
}

void show(Console& console, const format::Container& file, const LsOptions& options) {
  const std::vector<const format::TensorRecord*> tensors = selected(file, options);
  std::size_t name = 4, role = 4, dtype = 5, shape = 5;
  for (const format::TensorRecord* tensor : tensors) {
    name = std::max(name, tensor->name.size());
    role = std::max(role, role_text(tensor->role).size());
    dtype = std::max(dtype, dtype_text(tensor->type).size());
    shape = std::max(shape, shape_text(tensor->shape).size());
  }
  const auto line = [&](const std::string& a, const std::string& b, const std::string& c,
                        const std::string& d, const std::string& e, const std::string& f) {
    console.line(
        fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<{}}  {:>7}  {}", a, name, b, role, c, dtype, d, shape, e, f));
  };
  line("name", "role", "dtype", "shape", "size", "hash");
  std::uint64_t bytes = 0;
  for (const format::TensorRecord* tensor : tensors) {
    const std::string alias = tensor->alias_of.empty() ? "" : "  = " + tensor->alias_of;
    line(tensor->name, role_text(tensor->role), dtype_text(tensor->type), shape_text(tensor->shape),
         bytes_text(file.byte_size(*tensor)), to_hex(file.hash(*tensor)).substr(0, 12) + alias);
    if (alias.empty()) bytes += file.byte_size(*tensor);
  }
  console.line(fmt::format("{} of {} tensors, {}", tensors.size(), file.tensors().size(), bytes_text(bytes)));
}

ExitCode ls_command(Console& console, const LsOptions& options) {
  console.set_quiet(options.json);
  const format::Container file = format::Container::open(model_file(options.file, Prefer::last));
  if (options.json) {
    console.document(to_json(file, options).dump(2));
  } else {
    show(console, file, options);
  }
  return ExitCode::done;
}

}  // namespace

void add_ls(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("ls", "List the tensors of a .vitrail file");
  auto options = std::make_shared<LsOptions>();
  command->add_option("file", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("pattern", options->pattern, "of names: * stands for any characters, ? for one");
  command->add_option("--role", options->role,
                      "only this role: parameter, ema_parameter, first_moment, … or a number");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kLsExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return ls_command(console, *options); };
  });
}

}  // namespace vitrail::app
