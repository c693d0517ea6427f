#include "engine/app/signals.h"

#include <signal.h>
#include <unistd.h>

namespace vitrail::app {
namespace {

constexpr int kInterrupted = 130;  // 128 + SIGINT, as shells report it

volatile sig_atomic_t received = 0;  // the first signal; handlers can reach nothing but globals

extern "C" void take_stop_signal(int signal) {
  if (received != 0) _exit(kInterrupted);
  received = signal;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = take_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

bool stop_requested() {
  return received != 0;
}

const char* stop_reason() {
  return received == SIGTERM ? "SIGTERM" : "your Ctrl-C";
}

}  // namespace vitrail::app
