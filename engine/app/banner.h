#pragma once
// The first screen of a run: what will be learnt from what, on what, and with how much memory.

#include "engine/app/choices.h"
#include "engine/app/console.h"
#include "engine/trainer.h"

namespace vitrail::app {

void show_program(Console& console, const BackendInfo& device, const std::filesystem::path& run);
void show_data(Console& console, const DataSource& data, double seconds);
void show_choices(Console& console, const std::vector<Choice>& choices);
void show_plan(Console& console, const Trainer& trainer, const Backend& device);

}  // namespace vitrail::app
