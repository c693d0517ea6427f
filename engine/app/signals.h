#pragma once
// Ctrl-C and SIGTERM: once asks the run to stop where it can be resumed, twice ends the program at once.

namespace vitrail::app {

void catch_stop_signals();  // and ignores SIGPIPE: a reader that went away does not end a run
bool stop_requested();
const char* stop_reason();  // "your Ctrl-C", "SIGTERM"

}  // namespace vitrail::app
