#include "kernels/cpu/bulk_copy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace vitrail::cpu {

TEST_CASE("bulk copies of any size and alignment: every byte, and none beside them") {
  constexpr std::size_t kMost = (std::size_t{3} << 20) + 1000;
  std::vector<std::byte> from(kMost + 100);
  for (std::size_t i = 0; i < from.size(); ++i)
    from[i] = static_cast<std::byte>((i * 2654435761U) >> 13);
  for (int threads : {1, 2}) {
    ThreadPool pool(threads);
    for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{300'000}, std::size_t{524'288},
                              std::size_t{524'289}, std::size_t{1'048'639}, kMost}) {
      for (std::size_t shift : {0, 1, 16, 63}) {
        CAPTURE(threads);
        CAPTURE(bytes);
        CAPTURE(shift);
        std::vector<std::byte> to(bytes + 200, std::byte{0xa5}), expected = to;
        std::copy_n(from.begin() + 7, bytes, expected.begin() + static_cast<std::ptrdiff_t>(shift));
        bulk_copy(pool, to.data() + shift, from.data() + 7, bytes);
        CHECK((to == expected));
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(shift), bytes, std::byte{0});
        bulk_zero(pool, to.data() + shift, bytes);
        CHECK((to == expected));
      }
    }
  }
}

}  // namespace vitrail::cpu
