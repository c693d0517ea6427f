// A program that uses the library has signal handlers of its own; computing must go on as if they were not
// there.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/linear.h"

using namespace vitrail;

namespace {

volatile sig_atomic_t taken = 0;

extern "C" void take_alarm(int) {
  taken = taken + 1;
}

void alarm_every(int microseconds) {
  struct sigaction action {};
  action.sa_handler = take_alarm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval interval{{0, microseconds}, {0, microseconds}};
  setitimer(ITIMER_REAL, &interval, nullptr);
}

// Products of one linear layer, on fresh memory each time, as a step's temporaries are. Exit status: 0 when
// every result is that of the first.
int multiply_under_alarms() {
  constexpr std::int64_t kRows = 640, kIn = 96, kOut = 288;
  constexpr int kAlarms = 400;
  const std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 1});
  std::vector<float> first;
  for (int round = 0; taken < kAlarms; ++round) {
    std::vector<float> x(kRows * kIn), weight(kOut * kIn), y(kRows * kOut);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(i % 7) - 3;
    for (std::size_t i = 0; i < weight.size(); ++i)
      weight[i] = static_cast<float>(i % 5) - 2;
    backend->run(LinearForward{.y = Out{y.data(), DType::f32, {1, kRows, kOut}},
                               .x = In{x.data(), DType::f32, {1, kRows, kIn}},
                               .weight = In{weight.data(), DType::f32, {kOut, kIn}},
                               .bias = {}});
    if (round == 0) {
      first = y;
      alarm_every(200);
    }
    if (y != first) return 1;
  }
  return 0;
}

}  // namespace

TEST_CASE("signals that arrive during matrix products harm nothing") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(multiply_under_alarms());  // a heap that is destroyed takes only this process with it
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CAPTURE(status);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
