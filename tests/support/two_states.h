#pragma once
// The checkpoint that is there and the one that is to take its place, small and different in everything.

#include "tests/support/format_file.h"
#include "tests/support/uneven_tensors.h"

namespace vitrail::test {

struct TwoStates {
  // Tensors of up to `mebibytes`.
  explicit TwoStates(double mebibytes) : later(mebibytes / 9) {
    const TemporaryFolder folder;
    write_container(folder / "old", earlier);
    write_container(folder / "new", later.contents);
    old_bytes = file_bytes(folder / "old");
    new_bytes = file_bytes(folder / "new");
  }

  format::ContainerContents earlier = tiny_contents();
  UnevenTensors later;
  ByteVector old_bytes, new_bytes;
};

}  // namespace vitrail::test
