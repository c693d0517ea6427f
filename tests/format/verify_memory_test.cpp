// Verifying every byte takes little memory, however large the file.
#include <doctest/doctest.h>

#include <numeric>

#include "format/container.h"
#include "format/sections.h"
#include "tests/support/memory.h"
#include "tests/support/temporary_folder.h"

using namespace vitrail;
using namespace vitrail::format;

TEST_CASE("a file of 128 MiB is verified in at most 16 MiB, mapped or read" *
          doctest::skip(test::kSanitized)) {
  const test::TemporaryFolder folder;
  {
    std::vector<float> elements(std::size_t{16} << 20);
    std::iota(elements.begin(), elements.end(), 0.0F);
    ContainerContents contents;
    contents.root.set(section::kProducer, "test");
    for (const char* name : {"a", "b"}) {
      contents.tensors.push_back(
          {.name = name, .shape = {std::ssize(elements)}, .bytes = std::as_bytes(std::span(elements))});
    }
    write_container(folder / "a.vitrail", contents);
  }
  for (const Access access : {Access::map, Access::read}) {
    CAPTURE(static_cast<int>(access));
    const std::int64_t before = test::resident_bytes();
    test::peak_resident_bytes();
    const Container file = Container::open(folder / "a.vitrail", {.access = access});
    CHECK(file.find_damage(2).empty());
    CHECK(test::peak_resident_bytes() - before <= std::int64_t{16} << 20);
  }
}
