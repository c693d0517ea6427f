#include "format/npz.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "format/bool_values.h"
#include "format/layout.h"
#include "format/npy_header.h"
#include "format/source.h"
#include "format/zip.h"

namespace vitrail::format {

struct NpzFile::Storage {
  Source source;
  std::vector<std::byte> file;                // when it is not mapped
  std::deque<std::vector<std::byte>> arrays;  // unpacked, moved to an aligned place, or transposed
};

namespace {

constexpr std::string_view kNpyEnd = ".npy";

// Row-major from elements whose first axis is the fastest.
std::vector<std::byte> transposed(const NpyHeader& header, Bytes bytes) {
  const std::size_t size = static_cast<std::size_t>(*bits_of(header.type)) / 8, rank = header.shape.size();
  std::vector<std::byte> out(bytes.size());
  std::vector<std::uint64_t> stride(rank, size), index(rank, 0);
  for (std::size_t axis = 1; axis < rank; ++axis)
    stride[axis] = stride[axis - 1] * static_cast<std::uint64_t>(header.shape[axis - 1]);
  std::uint64_t from = 0;
  for (std::size_t to = 0; to < out.size(); to += size) {
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), size,
                out.begin() + static_cast<std::ptrdiff_t>(to));
    for (std::size_t axis = rank; axis-- > 0;) {
      from += stride[axis];
      if (++index[axis] < static_cast<std::uint64_t>(header.shape[axis])) break;
      from -= stride[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return out;
}

// Whether the elements stand in another order than row-major.
bool needs_transposing(const NpyHeader& header) {
  return header.fortran_order && std::count_if(header.shape.begin(), header.shape.end(),
                                               [](std::int64_t extent) { return extent != 1; }) > 1;
}

TensorRecord read_array(const ZipReader& zip, const ZipEntry& entry,
                        std::deque<std::vector<std::byte>>& arrays) try {
  const std::string_view name = entry.name;
  if (!name.ends_with(kNpyEnd) || name.size() == kNpyEnd.size() || name.size() > kMaxName + kNpyEnd.size())
    throw FormatError("expected arrays alone, which end in .npy, in a NumPy archive");
  Bytes content;
  if (entry.deflated) {
    content = arrays.emplace_back(zip.unpack(entry, kMaxTensorBytes));
  } else {
    zip.check(entry);
    content = zip.stored(entry);
  }
  const NpyHeader header = parse_npy_header(content);
  Bytes bytes = content.subspan(header.data_begin);
  if (needs_transposing(header)) {
    std::vector<std::byte> rows = transposed(header, bytes);
    if (entry.deflated) arrays.pop_back();
    bytes = arrays.emplace_back(std::move(rows));
  } else if (!is_aligned(bytes.data(), header.type)) {
    bytes = arrays.emplace_back(bytes.begin(), bytes.end());
  }
  check_bool_values(header.type, bytes);
  return {.name = std::string(name.substr(0, name.size() - kNpyEnd.size())),
          .type = header.type,
          .shape = header.shape,
          .bytes = bytes};
} catch (const FormatError& error) {
  throw FormatError(fmt::format("'{}': {}", entry.name, error.what()));
}

std::vector<TensorRecord> read_arrays(Bytes bytes, const std::string& name,
                                      std::deque<std::vector<std::byte>>& arrays) try {
  const ZipReader zip(bytes);
  std::vector<TensorRecord> tensors;
  for (const ZipEntry& entry : zip.entries())
    tensors.push_back(read_array(zip, entry, arrays));
  return tensors;
} catch (const FormatError& error) {
  throw FormatError::within(name, error);
}

}  // namespace

NpzFile NpzFile::open(const std::filesystem::path& path) {
  auto storage = std::make_shared<Storage>();
  storage->source = Source(path, Access::automatic);
  Bytes bytes = storage->source.bytes();
  if (!storage->source.in_memory()) {
    storage->file.resize(storage->source.size());
    storage->source.read(0, storage->file);
    bytes = storage->file;
  }
  NpzFile file;
  file.tensors_ = read_arrays(bytes, path.string(), storage->arrays);
  file.storage_ = std::move(storage);
  return file;
}

NpzFile NpzFile::open(Bytes bytes, std::string name) {
  auto storage = std::make_shared<Storage>();
  NpzFile file;
  file.tensors_ = read_arrays(bytes, name, storage->arrays);
  file.storage_ = std::move(storage);
  return file;
}

}  // namespace vitrail::format
