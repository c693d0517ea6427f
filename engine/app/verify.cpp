#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/app/commands.h"
#include "engine/app/foreign.h"
#include "engine/app/onnx_files.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/tensor_text.h"
#include "format/container.h"
#include "format/shards.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVerifyExamples =
    "Examples:\n"
    "  vitrail verify model.vitrail                head, metadata and structure: a matter of milliseconds\n"
    "  vitrail verify --full model.vitrail         every byte against its hash\n"
    "  vitrail verify --full runs/*                all checkpoints of all runs\n"
    "  vitrail verify model.onnx                   its hash, graph and self-test, in a small interpreter\n"
    "  vitrail verify model.onnx --runtime onnxruntime\n\n"
    "Of a folder, all checkpoints of the run, or all .vitrail files in it; of an index, its shards too. "
    "Damage is named by file, tensor, "
    "role, "
    "chunk\n"
    "and elements, with the rule of format/SPEC.md in brackets. Exit code 4 when any file is damaged, or an "
    "ONNX\n"
    "file fails its self-test; 1 when one carries none.";

constexpr double kSlow = 2;               // seconds
constexpr std::size_t kShownPlaces = 20;  // damaged places of one file; --json has all

struct VerifyOptions {
  std::vector<std::string> files;
  bool full = false, json = false;
  std::string runtime = "reference", library;  // of ONNX files
};

struct FileReport {
  fs::path file;
  std::string kind;  // empty when it could not be opened
  std::uint64_t bytes = 0;
  double seconds = 0;
  std::string refusal, code;  // why it could not be opened, or its shards
  bool unreadable = false;    // the file system said no
  std::vector<format::Damage> damage;
  std::vector<fs::path> shards;  // of an index

  bool whole() const { return refusal.empty() && damage.empty(); }
};

// What an argument stands for: a file, the checkpoints of a run, or the .vitrail files of a folder.
std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  if (RunFolder::holds_run(path)) {
    for (const FoundCheckpoint& found : RunFolder::open(path).checkpoints())
      files.push_back(found.path);
  }
  if (files.empty()) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      if (entry.path().extension() == ".vitrail") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  }
  if (files.empty())
    throw ConfigError(
        fmt::format("{}: expected a run or .vitrail files, found a folder without any", path.string()));
  return files;
}

// The files of a set, each the one that the index means. Throws FormatError, FileError.
std::vector<fs::path> shards_of(const fs::path& index) {
  const format::ShardSet set = format::ShardSet::open(index);
  std::vector<fs::path> shards;
  for (std::uint32_t number = 0; number < set.shards(); ++number)
    shards.emplace_back(set.shard(number).name());
  return shards;
}

void read_all(Console& console, const format::Container& file, FileReport& report) {
  const Stopwatch watch;
  report.damage = file.find_damage(0, [&](std::uint64_t done) {
    // A redrawn line at once; plain lines only where it takes long.
    if (!console.redraw_due() && (watch.seconds() < kSlow || !console.progress_due())) return;
    const double share = double(done) / double(std::max<std::uint64_t>(1, file.file_bytes()));
    console.progress(
        fmt::format("{}  {:.0f} %  {}/s", file.name(), 100 * share,
                    bytes_text(static_cast<std::uint64_t>(double(done) / std::max(watch.seconds(), 1e-3)))));
  });
}

FileReport verify_file(Console& console, const fs::path& path, bool full) {
  FileReport report;
  report.file = path;
  const Stopwatch watch;
  try {
    refuse_foreign(path);
    const format::Container file = format::Container::open(path);
    report.kind = format::name_of(file.kind());
    report.bytes = file.file_bytes();
    if (full) read_all(console, file, report);
    if (file.kind() == format::FileKind::shard_index) report.shards = shards_of(path);
  } catch (const format::FormatError& error) {
    report.refusal = error.what();
    report.code = error.code();
  } catch (const format::FileError& error) {
    report.refusal = error.what();
    report.unreadable = true;
  }
  report.seconds = watch.seconds();
  return report;
}

nlohmann::ordered_json to_json(const format::Damage& damage) {
  nlohmann::ordered_json json{{"rule", format::code_of(damage.rule)}, {"bytes", {damage.begin, damage.end}}};
  if (!damage.tensor.empty()) {
    json["tensor"] = damage.tensor;
    json["role"] = role_text(damage.role);
    json["elements"] = {damage.first_element, damage.end_element};
  }
  if (damage.chunk >= 0) json["chunk"] = damage.chunk;
  if (damage.chunk_list) json["chunk_list"] = true;
  if (damage.rule == format::Rule::V40) {
    json["expected"] = to_hex(damage.expected);
    json["found"] = to_hex(damage.found);
  }
  json["text"] = damage.text();
  return json;
}

nlohmann::ordered_json to_json(const FileReport& report, bool full) {
  nlohmann::ordered_json json{{"file", report.file.string()}, {"whole", report.whole()}};
  if (!report.refusal.empty()) {
    json["error"] = report.refusal;
    if (!report.code.empty()) json["rule"] = report.code;
    return json;
  }
  json["kind"] = report.kind;
  json["file_bytes"] = report.bytes;
  json["level"] = full ? "full" : "structure";
  json["seconds"] = report.seconds;
  json["damage"] = nlohmann::ordered_json::array();
  for (const format::Damage& damage : report.damage)
    json["damage"].push_back(to_json(damage));
  return json;
}

void show(Console& console, const FileReport& report, bool full) {
  if (report.whole()) {
    const std::string speed =
        full ? fmt::format("every byte is as it was written  {:.2f} s, {}/s", report.seconds,
                           bytes_text(static_cast<std::uint64_t>(double(report.bytes) /
                                                                 std::max(report.seconds, 1e-6))))
             : fmt::format("structure  {:.1f} ms", 1000 * report.seconds);
    return console.row(full ? "Whole" : "Good", fmt::format("{}  {}  {}  {}", report.file.string(),
                                                            report.kind, bytes_text(report.bytes), speed));
  }
  if (!report.refusal.empty()) return console.row(report.unreadable ? "Unread" : "Damaged", report.refusal);
  for (std::size_t i = 0; i < report.damage.size() && i < kShownPlaces; ++i) {
    const format::Damage& damage = report.damage[i];
    console.row("Damaged", fmt::format("{}: {} [{}]", report.file.string(), damage.text(),
                                       format::code_of(damage.rule)));
  }
  if (report.damage.size() > kShownPlaces)
    console.row("",
                fmt::format("… and {} places more; --json names all", report.damage.size() - kShownPlaces));
}

// How many files ended how.
struct Counts {
  std::size_t files = 0, damaged = 0, unread = 0, unproven = 0;
  bool damaged_vitrail = false;

  void add(const FileReport& report) {
    ++files;
    unread += report.unreadable ? 1 : 0;
    if (report.whole() || report.unreadable) return;
    ++damaged;
    damaged_vitrail = true;
  }
  void add(const OnnxFileReport& report) {
    ++files;
    damaged += report.proof == Proof::damaged ? 1 : 0;
    unread += report.proof == Proof::unreadable ? 1 : 0;
    unproven += report.proof == Proof::unproven ? 1 : 0;
  }
};

ExitCode outcome(Console& console, const Counts& counts) {
  if (counts.damaged > 0) {
    console.error(
        fmt::format("{} of {} files {} damaged", counts.damaged, counts.files,
                    counts.damaged == 1 ? "is" : "are"),
        counts.damaged_vitrail
            ? "'vitrail rescue FILE -o OUT' saves what is whole; 'vitrail resume RUN' goes on from the "
              "checkpoint before"
            : "'vitrail export RUN --to onnx' writes an ONNX file again");
    return ExitCode::damaged;
  }
  if (counts.unread > 0) {
    console.error(fmt::format("{} of {} files could not be read", counts.unread, counts.files), "");
    return ExitCode::failed;
  }
  if (counts.unproven == 0) return ExitCode::done;
  console.error(fmt::format("{} of {} files {} no self-test", counts.unproven, counts.files,
                            counts.unproven == 1 ? "carries" : "carry"),
                "'vitrail export RUN --to onnx' writes files that do");
  return ExitCode::failed;
}

ExitCode verify_command(Console& console, const VerifyOptions& options) {
  console.set_quiet(options.json);
  Counts counts;
  std::optional<OnnxVerifier> onnx;
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const std::string& argument : options.files) {
    std::vector<fs::path> paths = files_of(argument);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (is_onnx_file(paths[i])) {
        if (!onnx) onnx.emplace(options.runtime, options.library);
        const OnnxFileReport report = onnx->verify(paths[i]);
        show(console, report);
        counts.add(report);
        files.push_back(report.json);
        continue;
      }
      const FileReport report = verify_file(console, paths[i], options.full);
      show(console, report, options.full);
      counts.add(report);
      files.push_back(to_json(report, options.full));
      for (const fs::path& shard : report.shards) {
        if (std::find(paths.begin(), paths.end(), shard) == paths.end()) paths.push_back(shard);
      }
    }
  }
  if (options.json) {
    const bool whole = counts.damaged + counts.unread + counts.unproven == 0;
    console.document(nlohmann::ordered_json{{"whole", whole}, {"files", files}}.dump(2));
  }
  return outcome(console, counts);
}

}  // namespace

void add_verify(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("verify", "Check .vitrail and ONNX files for damage");
  auto options = std::make_shared<VerifyOptions>();
  command->add_option("files", options->files, "runs' folders, .vitrail or .onnx files")->required();
  command->add_flag("--full", options->full, "read every byte, not the head alone");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->add_option("--runtime", options->runtime,
                      "where an ONNX file's self-test runs: reference, or onnxruntime where its library is");
  command->add_option(
      "--runtime-library", options->library,
      "that library; else $VITRAIL_ONNXRUNTIME, then libonnxruntime.so where the system looks");
  command->footer(kVerifyExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return verify_command(console, *options); };
  });
}

}  // namespace vitrail::app
