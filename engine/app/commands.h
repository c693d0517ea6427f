#pragma once
// The commands of the program, one file each. Every add_… describes its command to the parser, and puts what
// is to be done into `action` when it is the one that was given.

#include <CLI/CLI.hpp>
#include <functional>

#include "engine/app/console.h"
#include "engine/app/exit_codes.h"

namespace vitrail::app {

using Action = std::function<ExitCode()>;

void add_train(CLI::App& program, Console& console, Action& action);
void add_resume(CLI::App& program, Console& console, Action& action);
void add_eval(CLI::App& program, Console& console, Action& action);
void add_predict(CLI::App& program, Console& console, Action& action);
void add_ls(CLI::App& program, Console& console, Action& action);
void add_cat(CLI::App& program, Console& console, Action& action);
void add_verify(CLI::App& program, Console& console, Action& action);
void add_diff(CLI::App& program, Console& console, Action& action);
void add_rescue(CLI::App& program, Console& console, Action& action);
void add_convert(CLI::App& program, Console& console, Action& action);
void add_info(CLI::App& program, Console& console, Action& action);
void add_export(CLI::App& program, Console& console, Action& action);
void add_split(CLI::App& program, Console& console, Action& action);
void add_consolidate(CLI::App& program, Console& console, Action& action);
void add_bench(CLI::App& program, Console& console, Action& action);
void add_doctor(CLI::App& program, Console& console, Action& action);

// The whole program. Never throws: every failure becomes a message and an exit code.
ExitCode run_program(int argc, const char* const* argv);

}  // namespace vitrail::app
