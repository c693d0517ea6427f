// `vitrail split` and `vitrail consolidate`: one file as several, and back.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/app/commands.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "format/shards.h"

namespace vitrail::app {
namespace {

constexpr const char* kSplitExamples =
    "Examples:\n"
    "  vitrail split model.vitrail -n 4 -o parts/model\n"
    "writes parts/model.r00000-of-00004.vitrail and three more, then parts/model.index.vitrail, without "
    "which the\n"
    "set does not exist. 'vitrail consolidate' makes the one file again.";
constexpr const char* kConsolidateExamples =
    "Examples:\n"
    "  vitrail consolidate parts/model.index.vitrail -o model.vitrail\n"
    "The shards are found beside the index. The file has the bytes of the one that was split.";

struct SplitOptions {
  std::string file, name;
  std::uint32_t shards = 0;
  bool json = false;
};

ExitCode split_command(Console& console, const SplitOptions& options) {
  console.set_quiet(options.json);
  const Stopwatch watch;
  const format::SplitResult result =
      format::split_container(model_file(options.file, Prefer::last), options.name, options.shards);
  if (options.json) {
    nlohmann::ordered_json shards = nlohmann::ordered_json::array();
    for (const std::filesystem::path& shard : result.shards)
      shards.push_back(shard.string());
    console.document(
        nlohmann::ordered_json{{"index", result.index.string()}, {"shards", shards}, {"bytes", result.bytes}}
            .dump(2));
    return ExitCode::done;
  }
  console.row("Split", fmt::format("{}  {} shards  {}  {:.2f} s", result.index.string(), result.shards.size(),
                                   bytes_text(result.bytes), watch.seconds()));
  return ExitCode::done;
}

struct ConsolidateOptions {
  std::string index, out;
  bool json = false;
};

ExitCode consolidate_command(Console& console, const ConsolidateOptions& options) {
  console.set_quiet(options.json);
  const Stopwatch watch;
  const format::WriteResult result = format::consolidate(options.index, options.out);
  if (options.json) {
    console.document(nlohmann::ordered_json{
        {"file", options.out}, {"bytes", result.file_bytes}, {"content_id", result.content_id}}
                         .dump(2));
    return ExitCode::done;
  }
  console.row("Written", fmt::format("{}  {}  content {}  {:.2f} s", options.out,
                                     bytes_text(result.file_bytes), result.content_id, watch.seconds()));
  return ExitCode::done;
}

}  // namespace

void add_split(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("split", "Write a file as a set of shards");
  auto options = std::make_shared<SplitOptions>();
  command->add_option("file", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("-n,--shards", options->shards, "number of shards")
      ->required()
      ->check(CLI::Range(1U, format::kMaxShards));
  command->add_option("-o,--out", options->name, "what the names of the set begin with")->required();
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kSplitExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return split_command(console, *options); };
  });
}

void add_consolidate(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("consolidate", "Make one file of a set of shards");
  auto options = std::make_shared<ConsolidateOptions>();
  command->add_option("index", options->index, "the set's NAME.index.vitrail")->required();
  command->add_option("-o,--out", options->out, "the file to write")->required();
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kConsolidateExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return consolidate_command(console, *options); };
  });
}

}  // namespace vitrail::app
