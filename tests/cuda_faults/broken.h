#pragma once
// Kernels and calls with one deliberate fault each, beside the same text without it: what the emulation, or a
// test that looks at numbers as those of the ops do, says of them.

#include <functional>
#include <string>
#include <vector>

namespace vitrail::cuda {

using Numbers = std::vector<float>;

inline const std::string kWrongNumbers = "wrong numbers";
inline const std::string kOrderShows = "other bits in another order of threads";
inline const std::string kNothing = "nothing";

struct Broken {
  std::string fault;
  std::vector<std::string> report;  // of a Fault, these parts of its text; or one of the words above
  std::function<Numbers()> broken, whole;
  Numbers expected;  // by plain host code
};

// What shows within these seeds (the ops' tests use 1 and 2): a Fault's text, wrong numbers, other bits than
// in the first of them, or nothing.
std::string what_shows(const std::function<Numbers()>& run, const Numbers& expected,
                       const std::vector<std::uint64_t>& seeds);

// Each broken one is reported as the table says, with the seeds of the ops' tests; each whole one runs
// without a word in ten orders.
void check_all(const std::vector<Broken>& table);

// Small numbers of both signs, other ones for each `salt`.
Numbers some_numbers(std::size_t count, int salt);

}  // namespace vitrail::cuda
