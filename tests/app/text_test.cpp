#include "engine/app/text.h"

#include <doctest/doctest.h>

using namespace vitrail::app;

TEST_CASE("counts") {
  CHECK(count_text(0) == "0");
  CHECK(count_text(999) == "999");
  CHECK(count_text(12480) == "12 480");
  CHECK(count_text(1234567) == "1 234 567");
  CHECK(count_text(-123456) == "-123 456");
}

TEST_CASE("bytes") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(999) == "999 B");
  CHECK(bytes_text(1000) == "1.0 kB");
  CHECK(bytes_text(248'300'000) == "248 MB");
  CHECK(bytes_text(999'600'000) == "1.0 GB");
}

TEST_CASE("durations") {
  CHECK(duration_text(21.4) == "21s");
  CHECK(duration_text(59.6) == "1m 00s");
  CHECK(duration_text(245) == "4m 05s");
  CHECK(duration_text(7800) == "2h 10m");
  CHECK(duration_text(-1) == "0s");
}

TEST_CASE("learning rates and parameters") {
  CHECK(lr_text(5e-4) == "5.0e-4");
  CHECK(lr_text(9.99e-4) == "1.0e-3");
  CHECK(lr_text(1) == "1.0e0");
  CHECK(lr_text(0) == "0");
  CHECK(parameters_text(5716) == "5 716");
  CHECK(parameters_text(455'000) == "0.46 M");
  CHECK(parameters_text(21'666'000) == "21.7 M");
}

TEST_CASE("text is cut between characters, not within them") {
  CHECK(fit("88 ±1", 10) == "88 ±1");
  CHECK(fit("88 ±1", 5) == "88 ±1");
  CHECK(fit("88 ±1", 4) == "88 ±");
  CHECK(fit("88 ±1", 3) == "88 ");
  CHECK(fit("abc", 0).empty());
}
