#pragma once
// Ctrl-C and SIGTERM: once asks the run to stop where it can be resumed, twice ends the program at once.

namespace vitrail::app {

// Ignores SIGPIPE and SIGXFSZ too: a reader that went away or a limit on files does not end a run.
void catch_stop_signals();
bool stop_requested();
const char* stop_reason();  // "your Ctrl-C", "SIGTERM"

}  // namespace vitrail::app
