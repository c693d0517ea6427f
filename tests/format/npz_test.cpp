// Archives of arrays that NumPy wrote, and heads of arrays put together by hand.

#include "format/npz.h"

#include <doctest/doctest.h>

#include <cstring>

#include "format/npy_header.h"
#include "format/zip.h"
#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using namespace std::string_literals;

std::filesystem::path foreign(const std::string& name) {
  return std::filesystem::path(VITRAIL_TESTS_FOLDER) / "foreign" / name;
}

const TensorRecord& tensor_of(const NpzFile& file, const std::string& name) {
  for (const TensorRecord& tensor : file.tensors()) {
    if (tensor.name == name) return tensor;
  }
  FAIL("no tensor " << name);
  return file.tensors().front();
}

template <class T>
std::vector<T> values_of(const TensorRecord& tensor) {
  CHECK(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % sizeof(T) == 0);
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::string refusal_of(const std::filesystem::path& path) {
  try {
    (void)NpzFile::open(path);
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

const std::vector<float> kGrid = [] {
  std::vector<float> values(24);
  for (std::size_t i = 0; i < 24; ++i)
    values[i] = static_cast<float>(i);
  return values;
}();
using Shape = std::vector<std::int64_t>;

TEST_CASE("stored, deflated and column-major arrays of NumPy") {
  struct Grid {
    const char *file, *name;
  };
  for (const Grid& row : {Grid{"stored.npz", "a/b"}, {"deflated.npz", "grid"}, {"fortran.npz", "grid"}}) {
    CAPTURE(row.file);
    const NpzFile npz = NpzFile::open(foreign(row.file));
    const TensorRecord& grid = tensor_of(npz, row.name);
    CHECK(grid.type == ElementType::f32);
    CHECK(grid.shape == Shape{2, 3, 4});
    CHECK(values_of<float>(grid) == kGrid);
  }
  const NpzFile stored = NpzFile::open(foreign("stored.npz"));
  CHECK(tensor_of(stored, "c").shape.empty());
  CHECK(values_of<double>(tensor_of(stored, "c")) == std::vector{2.5});
  CHECK(tensor_of(stored, "d").shape == Shape{0, 3});
  CHECK(values_of<std::int16_t>(tensor_of(NpzFile::open(foreign("fortran.npz")), "row")) ==
        std::vector<std::int16_t>{0, 1, 2, 3, 4});
}

TEST_CASE("every type, and bfloat16 as JAX leaves it") {
  const NpzFile npz = NpzFile::open(foreign("types.npz"));
  CHECK(npz.tensors().size() == 14);
  CHECK(values_of<std::uint8_t>(tensor_of(npz, "bool")) == std::vector<std::uint8_t>{0, 1, 1});
  CHECK(tensor_of(npz, "bool").type == ElementType::boolean);
  CHECK(values_of<std::int64_t>(tensor_of(npz, "i8")) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(values_of<std::uint32_t>(tensor_of(npz, "u4")) == std::vector<std::uint32_t>{0, 1, 2});
  CHECK(values_of<std::uint16_t>(tensor_of(npz, "f2")) == std::vector<std::uint16_t>{0, 0x3C00, 0x4000});
  CHECK(tensor_of(npz, "c16").type == ElementType::c128);
  const NpzFile half = NpzFile::open(foreign("bfloat16.npz"));
  CHECK(tensor_of(half, "x").type == ElementType::bf16);
  CHECK(values_of<std::uint16_t>(tensor_of(half, "x")) == std::vector<std::uint16_t>{0x3F80, 0xC000});
}

TEST_CASE("what is refused by its name") {
  CHECK(refusal_of(foreign("big-endian.npz")).find("'x.npy': an array of big-endian numbers ('>f4')") !=
        std::string::npos);
  CHECK(refusal_of(foreign("objects.npz")).find("an array of Python objects ('|O')") != std::string::npos);
  CHECK(refusal_of(foreign("text.npz")).find("an array of text ('<U2')") != std::string::npos);
  CHECK(refusal_of(foreign("structure.npz")).find("an array of structures") != std::string::npos);
}

// An array with a header and data as they are given.
std::string array_of(const std::string& header, const std::string& data, int major = 1) {
  std::string text = "\x93NUMPY"s + static_cast<char>(major) + '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i)
    text += static_cast<char>(header.size() >> 8 * i);
  return text + header + data;
}

std::string refusal_of_array(const std::string& array, const std::string& name = "x.npy") {
  std::vector<std::byte> archive;
  ZipWriter writer([&](Bytes part) { archive.insert(archive.end(), part.begin(), part.end()); });
  writer.add(name, std::as_bytes(std::span(array)));
  writer.finish();
  try {
    (void)NpzFile::open(archive, "archive");
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

TEST_CASE("heads that are right") {
  const std::string plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  for (const int major : {1, 2, 3})
    CHECK(refusal_of_array(array_of(plain + "      \n", "abcd", major)) == "");
  for (const char* header : {
           "{'descr':'<f4','fortran_order':False,'shape':(1,)}",
           "{\"shape\": (1, 1), \"fortran_order\": True, \"descr\": \"<f4\"}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
           "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2,)}",
       }) {
    CAPTURE(header);
    CHECK(refusal_of_array(array_of(header, "abcd")) == "");
  }
}

TEST_CASE("heads that are wrong") {
  const auto shaped = [](const std::string& shape) {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}";
  };
  const std::vector<std::string> headers = {"",
                                            "{}",
                                            "[]",
                                            "{",
                                            shaped("(1"),
                                            shaped("(1)"),
                                            shaped("1"),
                                            shaped("[1]"),
                                            shaped("(-1,)"),
                                            shaped("(1.0,)"),
                                            shaped("(01,)"),
                                            shaped("(1L,)"),
                                            shaped("(,)"),
                                            shaped("(1,,)"),
                                            shaped("(2,)"),
                                            shaped("(0,)"),
                                            shaped("(18446744073709551617,)"),
                                            shaped("(4294967296, 4294967296)"),
                                            shaped("(1,1,1,1,1,1,1,1,1)"),
                                            shaped("(1,)") + "x",
                                            shaped("(1,), 'x': 1"),
                                            shaped("(1,), 'shape': (1,)"),
                                            shaped("__import__('os')"),
                                            "{'descr': '<f4', 'shape': (1,)}",
                                            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
                                            "{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (1,)}",
                                            "{'descr': 4, 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': '=f4', 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': 'float32', 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': '<f4\\n', 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': '|V4', 'fortran_order': False, 'shape': (1,)}",
                                            "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}"};
  for (const std::string& header : headers) {
    CAPTURE(header);
    CHECK(refusal_of_array(array_of(header, "abcd")) != "");
  }
  const std::string good = array_of(shaped("(1,)"), "abcd");
  CHECK(refusal_of_array(good) == "");
  CHECK(refusal_of_array(good + "e").find("takes 4 bytes, 5 are there") != std::string::npos);
  CHECK(refusal_of_array(good, "x.txt").find("arrays alone") != std::string::npos);
  CHECK(refusal_of_array(good, ".npy") != "");
  CHECK(refusal_of_array(array_of(shaped("(1,)"), "abcd", 4)).find("version 4.0") != std::string::npos);
  CHECK(refusal_of_array(array_of(std::string(70'000, ' '), "", 2)).find("at most 65536") !=
        std::string::npos);
  CHECK(refusal_of_array(array_of("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\1\2"))
            .find("element 1 is 2") != std::string::npos);
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK(refusal_of_array(good.substr(0, size)) != "");
}

TEST_CASE("every truncated archive is refused; a flipped bit is, or changes nothing") {
  const test::ByteVector bytes = test::file_bytes(foreign("deflated.npz"));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_THROWS_AS((void)NpzFile::open(Bytes(bytes).first(size), "x"), FormatError);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    test::ByteVector flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    try {  // times, versions and attributes are looked at by nobody
      const NpzFile npz = NpzFile::open(flipped, "x");
      CHECK(npz.tensors().size() == 2);
      CHECK(values_of<float>(tensor_of(npz, "grid")) == kGrid);
      CHECK(values_of<std::uint16_t>(tensor_of(npz, "ones")) == std::vector<std::uint16_t>(200, 0x3C00));
    } catch (const FormatError&) {
    }
  }
}

}  // namespace
}  // namespace vitrail::format
