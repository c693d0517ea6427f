#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/app/commands.h"
#include "engine/app/foreign.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/tensor_text.h"
#include "format/salvage.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRescueExamples =
    "Examples:\n"
    "  vitrail rescue damaged.vitrail -o rescued.vitrail\n"
    "  vitrail rescue runs/flowers-1/last.vitrail -o rescued.vitrail --json\n\n"
    "Every tensor whose bytes still have their hash is saved, also from a file that is cut off or has lost "
    "its "
    "first or\n"
    "last bytes. What comes out is the file as it was, when nothing is lost; a model, when all its "
    "parameters and "
    "what\n"
    "describes it are whole; else weights. Exit code 0 when nothing is lost, 4 when something is.\n"
    "A run goes on by itself from its newest whole checkpoint: vitrail resume RUN.";

struct RescueOptions {
  std::string file, out;
  bool force = false, json = false;
};

struct Rescue {
  format::Salvage salvage;
  format::ContainerContents contents;
  format::WriteResult written;

  // Whole tensors that the kind of file cannot take.
  std::size_t left_out() const { return salvage.tensors.size() - contents.tensors.size(); }
};

void check_paths(const RescueOptions& options) {
  if (!fs::exists(options.file))
    throw ConfigError(fmt::format("{}: expected a damaged .vitrail file, found nothing", options.file));
  if (fs::is_directory(options.file))
    throw ConfigError(fmt::format(
        "{}: expected a damaged .vitrail file, found a folder; use one of its files", options.file));
  std::error_code error;
  if (fs::equivalent(options.file, options.out, error) && !error)
    throw ConfigError("-o: expected another file than the damaged one, found the same");
  if (fs::exists(options.out) && !options.force)
    throw ConfigError(fmt::format("-o: {} is there already; use --force to replace it", options.out));
}

Rescue rescue(const RescueOptions& options, const format::Source& source) {
  Rescue result;
  try {
    result.salvage = format::salvage(source);
  } catch (const format::FormatError& error) {
    refuse_foreign(options.file);
    throw format::FormatError::within(options.file, error);
  }
  if (result.salvage.tensors.empty() && !result.salvage.complete())
    throw format::FormatError(fmt::format("{}: nothing can be rescued: no tensor is whole", options.file));
  result.contents = contents_of(result.salvage);
  result.written = write_container(options.out, result.contents);
  return result;
}

nlohmann::ordered_json to_json(const RescueOptions& options, const Rescue& rescue) {
  const format::Salvage& salvage = rescue.salvage;
  nlohmann::ordered_json lost = nlohmann::ordered_json::array();
  for (const format::LostTensor& tensor : salvage.lost) {
    lost.push_back({{"name", tensor.name},
                    {"role", role_text(tensor.role)},
                    {"dtype", dtype_text(tensor.type)},
                    {"shape", tensor.shape},
                    {"bytes", tensor.bytes},
                    {"reason", tensor.reason}});
  }
  return {{"file", options.file},
          {"out", options.out},
          {"kind", format::name_of(salvage.kind)},
          {"out_kind", format::name_of(rescue.contents.kind)},
          {"complete", salvage.complete()},
          {"sections_whole", salvage.sections_whole},
          {"notes", salvage.notes},
          {"tensors", rescue.contents.tensors.size()},
          {"left_out", rescue.left_out()},
          {"lost", lost},
          {"content_id", rescue.written.content_id}};
}

void show(Console& console, const RescueOptions& options, const Rescue& rescue) {
  const format::Salvage& salvage = rescue.salvage;
  for (const std::string& note : salvage.notes)
    console.row("Found", note);
  for (const format::LostTensor& tensor : salvage.lost) {
    console.row("Lost", fmt::format("{}  {}  {} {}  {}", tensor.name, role_text(tensor.role),
                                    dtype_text(tensor.type), shape_text(tensor.shape), tensor.reason));
  }
  if (!salvage.sections_whole)
    console.row("Lost", "what describes the model and the run: the metadata are damaged");
  if (rescue.left_out() > 0) {
    console.row("Left out",
                fmt::format("{} averaged tensors: others are lost, and some of them are of no use to a model",
                            rescue.left_out()));
  }
  console.row("Rescued",
              fmt::format("{}  {}  {}  {} of {} tensors", options.out, format::name_of(rescue.contents.kind),
                          bytes_text(rescue.written.file_bytes), rescue.contents.tensors.size(),
                          salvage.tensors.size() + salvage.lost.size()));
  if (salvage.complete()) {
    console.line("Nothing is lost.");
  } else if (salvage.kind == format::FileKind::checkpoint) {
    console.line("It cannot be resumed: the state of a run is whole or it is none.");
  }
}

ExitCode rescue_command(Console& console, const RescueOptions& options) {
  console.set_quiet(options.json);
  check_paths(options);
  const format::Source source(options.file, format::Access::map);
  console.announce(fmt::format("reading {}", options.file));
  const Rescue result = rescue(options, source);
  if (options.json) {
    console.document(to_json(options, result).dump(2));
  } else {
    show(console, options, result);
  }
  return result.salvage.complete() ? ExitCode::done : ExitCode::damaged;
}

}  // namespace

void add_rescue(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("rescue", "Save what is whole of a damaged .vitrail file");
  auto options = std::make_shared<RescueOptions>();
  command->add_option("file", options->file, "the damaged file; it is not touched")->required();
  command->add_option("-o,--out", options->out, "the file to write")->required();
  command->add_flag("--force", options->force, "replace the file to write if it is there");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kRescueExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return rescue_command(console, *options); };
  });
}

}  // namespace vitrail::app
