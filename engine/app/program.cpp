#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "engine/app/commands.h"
#include "engine/app/platform.h"
#include "engine/error.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

constexpr const char* kProgramExamples =
    "Examples:\n"
    "  vitrail train data=fashion-mnist            trains, and chooses what it was not told\n"
    "  vitrail train data=flowers/ epochs=30       a folder of class folders, with or without train/ and "
    "val/\n"
    "  vitrail resume runs/flowers-1               goes on where a run stopped\n"
    "  vitrail eval runs/flowers-1                 accuracy on the validation images\n"
    "  vitrail predict runs/flowers-1 rose.jpg     what is in an image\n"
    "  vitrail export runs/flowers-1 --to onnx     for onnxruntime and others\n"
    "  vitrail convert timm.safetensors vit.pt     weights in another format\n"
    "  vitrail verify --full runs/flowers-1        every byte of its checkpoints against their hashes\n"
    "'vitrail COMMAND --help' tells more about each, 'vitrail train --help' lists all settings.\n"
    "Exit codes: 0 done, 1 failed, 2 usage or settings, 3 data, 4 damaged file, 5 out of memory, 6 "
    "diverged,\n"
    "7 device, 75 stopped and resumable.";

void describe_program(CLI::App& program) {
  program.require_subcommand(0, 1);
  program.set_version_flag("--version",
                           fmt::format("{}  {}, {}", version_text(), build_text(), compiler_text()));
  program.footer(kProgramExamples);
}

// CLI11 would call a misspelt command an unexpected argument.
void check_command(const CLI::App& program, int argc, const char* const* argv) {
  if (argc < 2) throw ConfigError("expected a command; see 'vitrail --help'");
  const std::string word = argv[1];
  std::vector<std::string> commands;
  for (const CLI::App* command : program.get_subcommands({}))
    commands.push_back(command->get_name());
  if (word.empty() || word[0] == '-' || std::find(commands.begin(), commands.end(), word) != commands.end())
    return;
  const std::string near = nearest(word, commands);
  throw ConfigError(near.empty()
                        ? fmt::format("no command is called '{}'; see 'vitrail --help'", word)
                        : fmt::format("no command is called '{}'; did you mean 'vitrail {}'?", word, near));
}

// Exit code of --help and --version, which CLI11 reports as errors too.
ExitCode parse_failure(const CLI::App& program, Console& console, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    program.exit(error);
    return ExitCode::done;
  }
  std::string help = "see 'vitrail --help'";
  for (const CLI::App* command : program.get_subcommands())
    help = fmt::format("see 'vitrail {} --help'", command->get_name());
  console.error(error.what(), help);
  return ExitCode::usage;
}

}  // namespace

ExitCode run_program(int argc, const char* const* argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // beyond a limit on files a write fails, and says so
  Console console(detect_console());
  CLI::App program("Trains Vision Transformers: from images to a model, and on to ONNX.", "vitrail");
  Action action;
  try {
    describe_program(program);
    for (const auto add :
         {add_train, add_resume, add_eval, add_predict, add_export, add_convert, add_info, add_ls, add_cat,
          add_verify, add_diff, add_rescue, add_split, add_consolidate, add_bench, add_doctor}) {
      add(program, console, action);
    }
    check_command(program, argc, argv);
    program.parse(argc, argv);
    if (!action) throw ConfigError("expected a command; see 'vitrail --help'");
    return action();
  } catch (const CLI::ParseError& error) {
    return parse_failure(program, console, error);
  } catch (const std::exception& error) {
    const Failure failure = describe(error);
    console.error(failure.error, failure.help);
    return failure.code;
  }
}

}  // namespace vitrail::app
