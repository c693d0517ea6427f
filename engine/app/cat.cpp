#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "engine/app/commands.h"
#include "engine/app/elements.h"
#include "engine/app/run_folder.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"
#include "engine/tensor_text.h"
#include "format/container.h"

namespace vitrail::app {
namespace {

constexpr const char* kCatExamples =
    "Examples:\n"
    "  vitrail cat runs/flowers-1 head.weight\n"
    "  vitrail cat model.vitrail blocks.0.attn.qkv.weight --rows 0:4      four rows; reads only their "
    "chunks\n"
    "  vitrail cat last.vitrail head.bias --role second_moment --json\n"
    "  vitrail cat model.vitrail pos_embed --raw > pos_embed.bin         its bytes: little-endian, row after "
    "row\n\n"
    "What is read is checked against its hash. A row is one index of the first axis.";

struct CatOptions {
  std::string file, tensor, role = "parameter", rows;
  bool raw = false, json = false;
};

struct Rows {
  std::int64_t begin = 0, end = 0;
};

// "2:5", "2:", ":5", or "2" for one row.
Rows parse_rows(const std::string& text, std::int64_t count) {
  const std::size_t colon = text.find(':');
  const std::string first = text.substr(0, colon);
  const std::string last = colon == std::string::npos ? "" : text.substr(colon + 1);
  Rows rows{.begin = first.empty() ? 0 : parse_whole("--rows", first, {.low = 0, .high = count}),
            .end = count};
  if (colon == std::string::npos) {
    rows.end = rows.begin + 1;
  } else if (!last.empty()) {
    rows.end = parse_whole("--rows", last, {.low = 0, .high = count});
  }
  if (rows.begin > rows.end || rows.end > count) {
    throw ConfigError(fmt::format("--rows: expected A:B within 0:{}, found '{}'", count, text));
  }
  return rows;
}

const format::TensorRecord& find_tensor(const format::Container& file, const CatOptions& options) {
  const format::Role role = parse_role(options.role);
  if (const format::TensorRecord* tensor = file.find(role, options.tensor)) return *tensor;
  std::vector<std::string> names;
  std::string elsewhere;
  for (const format::TensorRecord& tensor : file.tensors()) {
    if (tensor.role == role) names.push_back(tensor.name);
    if (tensor.name == options.tensor && elsewhere.empty()) elsewhere = role_text(tensor.role);
  }
  const std::string near = nearest(options.tensor, names);
  throw ConfigError(fmt::format("{}: no tensor '{}' of role {}; {}", file.name(), options.tensor,
                                role_text(role),
                                !elsewhere.empty() ? fmt::format("try --role {}", elsewhere)
                                : near.empty()     ? fmt::format("see 'vitrail ls {}'", file.name())
                                                   : fmt::format("did you mean '{}'?", near)));
}

// A tensor, or some of its rows.
struct Part {
  std::vector<std::int64_t> shape;
  Rows rows;
  std::vector<std::byte> owned;
  format::Bytes bytes;
};

Part read_part(const format::Container& file, const format::TensorRecord& tensor, const CatOptions& options) {
  Part part{.shape = tensor.shape,
            .rows = {.begin = 0, .end = tensor.shape.empty() ? 0 : tensor.shape[0]},
            .owned = {},
            .bytes = {}};
  if (options.rows.empty()) {
    part.bytes = options.raw ? file.raw(tensor) : file.read(tensor);
    return part;
  }
  if (tensor.shape.empty()) throw ConfigError("--rows: a tensor without axes has no rows");
  const std::int64_t count = tensor.shape[0];
  part.rows = parse_rows(options.rows, count);
  part.shape[0] = part.rows.end - part.rows.begin;
  const std::uint64_t bits = count == 0 ? 0 : file.byte_size(tensor) * 8 / static_cast<std::uint64_t>(count);
  const auto begin = static_cast<std::uint64_t>(part.rows.begin),
             end = static_cast<std::uint64_t>(part.rows.end);
  if (begin * bits % 8 != 0 || end * bits % 8 != 0)
    throw ConfigError("--rows: two of these rows share a byte; use even numbers");
  part.owned.resize((end - begin) * bits / 8);
  file.read_rows(tensor, begin, end - begin, part.owned);
  part.bytes = part.owned;
  return part;
}

nlohmann::ordered_json to_json(const format::Container& file, const format::TensorRecord& tensor,
                               const Part& part) {
  const Elements elements(tensor.type, part.bytes);
  const ElementStatistics stats = statistics(elements);
  nlohmann::ordered_json json{{"file", file.name()},
                              {"name", tensor.name},
                              {"role", role_text(tensor.role)},
                              {"dtype", dtype_text(tensor.type)},
                              {"shape", tensor.shape},
                              {"hash", to_hex(file.hash(tensor))},
                              {"rows", {part.rows.begin, part.rows.end}}};
  if (!elements.complex()) {
    json["min"] = stats.min;
    json["mean"] = stats.mean;
    json["max"] = stats.max;
  }
  json["finite"] = stats.finite;
  json["nan"] = stats.nan;
  json["inf"] = stats.inf;
  json["values"] = array_json(elements, part.shape);
  return json;
}

void show(Console& console, const format::TensorRecord& tensor, const Part& part, const CatOptions& options) {
  const Elements elements(tensor.type, part.bytes);
  const ElementStatistics stats = statistics(elements);
  const std::string rows =
      options.rows.empty() ? "" : fmt::format("  rows {}:{}", part.rows.begin, part.rows.end);
  console.line(fmt::format("{}  {}  {}  {}{}", tensor.name, role_text(tensor.role), dtype_text(tensor.type),
                           shape_text(tensor.shape), rows));
  console.line(array_text(elements, part.shape));
  const std::string range =
      elements.complex() || stats.finite == 0
          ? ""
          : fmt::format("  min {:.6g}  mean {:.6g}  max {:.6g}", stats.min, stats.mean, stats.max);
  console.line(fmt::format("{} elements{}  NaN {}  infinite {}",
                           count_text(static_cast<std::int64_t>(elements.size())), range, stats.nan,
                           stats.inf));
}

ExitCode cat_command(Console& console, const CatOptions& options) {
  console.set_quiet(options.json || options.raw);
  if (options.json && options.raw) throw ConfigError("--raw and --json: expected one of them");
  if (options.raw && ::isatty(STDOUT_FILENO) != 0)
    throw ConfigError(
        "--raw: expected a file or a pipe on standard output, found a terminal; use --raw > FILE");
  const format::Container file = format::Container::open(model_file(options.file, Prefer::last));
  const format::TensorRecord& tensor = find_tensor(file, options);
  const Part part = read_part(file, tensor, options);
  if (options.raw) {
    console.raw(part.bytes);
  } else if (options.json) {
    console.document(to_json(file, tensor, part).dump());
  } else {
    show(console, tensor, part, options);
  }
  return ExitCode::done;
}

}  // namespace

void add_cat(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("cat", "Show the values of a tensor");
  auto options = std::make_shared<CatOptions>();
  command->add_option("file", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("tensor", options->tensor, "its name, as 'vitrail ls' lists it")->required();
  command->add_option("--role", options->role,
                      "parameter (the usual), ema_parameter, first_moment, … or a number");
  command->add_option("--rows", options->rows, "A:B, rows A to B − 1");
  command->add_flag("--raw", options->raw, "the bytes as they stand in the file, to standard output");
  command->add_flag("--json", options->json, "one JSON document on standard output, with every value");
  command->footer(kCatExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return cat_command(console, *options); };
  });
}

}  // namespace vitrail::app
