// Beside the tests of cuda, which have that device even where this program has none.

#include <doctest/doctest.h>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace vitrail::test {
namespace {

TEST_CASE("device: where cuda is refused, with the reason, any device is the CPU") {
  std::string reason;
  try {
    make_backend("cuda");
    return;  // a build with the device, on a machine with one
  } catch (const Error& error) {
    reason = error.what();
  }
  CAPTURE(reason);
  CHECK((reason.find("VITRAIL_CUDA") != std::string::npos || reason.find("GPU") != std::string::npos));
  CHECK(make_backend("auto")->info().device == "cpu");
}

}  // namespace
}  // namespace vitrail::test
