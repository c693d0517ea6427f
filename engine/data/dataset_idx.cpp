// MNIST's IDX files (Y. LeCun, C. Cortes, C. Burges, "The MNIST database"): a magic number 0, 0, type, number
// of dimensions; each dimension as 32 bits, the highest byte first; then the data. Type 8 is unsigned bytes.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/data/convert.h"
#include "engine/data/dataset_kinds.h"
#include "engine/data/file_bytes.h"
#include "engine/data/fingerprint.h"
#include "engine/data/gzip.h"
#include "engine/data/image_formats.h"
#include "engine/data/subset.h"
#include "engine/error.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

struct IdxFile {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> bytes;  // header and data
  std::size_t header = 0;           // bytes before the data

  std::span<const std::uint8_t> data() const { return std::span(bytes).subspan(header); }
};

[[noreturn]] void refuse(const fs::path& path, const std::string& reason) {
  throw DataError(fmt::format("broken IDX file '{}': {}", path.string(), reason));
}

std::uint32_t big_endian(std::span<const std::uint8_t> bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         bytes[3];
}

// The header of unpacked bytes: magic number and `dimensions` extents.
IdxFile read_header(std::span<const std::uint8_t> head, std::size_t dimensions, const fs::path& path) {
  IdxFile file;
  file.header = 4 + 4 * dimensions;
  if (head.size() < file.header)
    refuse(path, fmt::format("expected a header of {} bytes, found {}", file.header, head.size()));
  const std::uint32_t expected = 0x0800 + static_cast<std::uint32_t>(dimensions);
  if (const std::uint32_t magic = big_endian(head); magic != expected)
    refuse(path, fmt::format("expected the magic number {:08X}, found {:08X}", expected, magic));
  for (std::size_t i = 0; i < dimensions; ++i)
    file.extents.push_back(big_endian(head.subspan(4 + 4 * i)));
  return file;
}

// Bytes that the header announces, itself included.
std::size_t announced_size(const IdxFile& file, const fs::path& path) {
  if (file.extents[0] < 1) refuse(path, "it holds nothing");
  std::size_t size = static_cast<std::size_t>(file.extents[0]);  // at most 2^32 · 2^14 · 2^14
  for (std::size_t i = 1; i < file.extents.size(); ++i) {
    if (file.extents[i] < 1 || file.extents[i] > kMaxSide)
      refuse(path, fmt::format("images of {} x {} pixels: expected 1 to {} a side", file.extents[2],
                               file.extents[1], kMaxSide));
    size *= static_cast<std::size_t>(file.extents[i]);
  }
  return file.header + size;
}

IdxFile read_idx(const fs::path& path, std::size_t dimensions) {
  std::vector<std::uint8_t> bytes = read_file(path);
  const bool packed = is_gzip(bytes);
  try {
    IdxFile file = read_header(packed ? gunzip_head(bytes, 4 + 4 * dimensions) : bytes, dimensions, path);
    const std::size_t size = announced_size(file, path);
    file.bytes = packed ? gunzip(bytes, size) : std::move(bytes);
    if (file.bytes.size() != size)
      refuse(path, fmt::format("the header announces {} bytes, found {}", size, file.bytes.size()));
    return file;
  } catch (const DataError& error) {
    if (std::string_view(error.what()).starts_with("broken IDX")) throw;
    refuse(path, error.what());
  }
}

// All images of one pair of files, in memory.
class IdxDataset : public Dataset {
 public:
  IdxDataset(const fs::path& images_path, const fs::path& labels_path, std::string part)
      : images_(read_idx(images_path, 3)), labels_(read_idx(labels_path, 1)), part_(std::move(part)) {
    if (images_.extents[0] != labels_.extents[0])
      throw DataError(fmt::format("'{}' holds {} images, but '{}' {} labels: expected as many",
                                  images_path.string(), images_.extents[0], labels_path.string(),
                                  labels_.extents[0]));
  }

  std::int64_t size() const override { return images_.extents[0]; }
  std::int64_t label(std::int64_t index) const override {
    return labels_.data()[static_cast<std::size_t>(index)];
  }
  std::string name(std::int64_t index) const override { return fmt::format("{}[{}]", part_, index); }

  Image load(std::int64_t index, std::int64_t channels) const override {
    Image image;
    load_into(index, channels, image);
    return image;
  }

  void load_into(std::int64_t index, std::int64_t channels, Image& image) const override {
    image.height = height();
    image.width = width();
    image.channels = channels;
    const auto area = static_cast<std::size_t>(image.height * image.width);
    const auto grey = images_.data().subspan(static_cast<std::size_t>(index) * area, area);
    image.pixels.resize(area * static_cast<std::size_t>(channels));
    expand_grey(grey, channels, image.pixels);
  }

  std::int64_t height() const { return images_.extents[1]; }
  std::int64_t width() const { return images_.extents[2]; }
  std::int64_t max_label() const { return *std::max_element(labels_.data().begin(), labels_.data().end()); }

  void add_to(Fingerprint& fingerprint) const {
    fingerprint.add(images_.bytes);
    fingerprint.add(labels_.bytes);
  }

 private:
  IdxFile images_, labels_;
  std::string part_;
};

// MNIST's own spelling, and the two in which copies are found.
std::optional<fs::path> find_file(const fs::path& folder, const std::string& part, const std::string& what) {
  const std::string dimensions = what == "images" ? "3" : "1";
  for (const char* joint : {"-idx", ".idx"}) {
    for (const char* ending : {"", ".gz"}) {
      const fs::path path = folder / (part + "-" + what + joint + dimensions + "-ubyte" + ending);
      std::error_code error;
      if (fs::is_regular_file(path, error)) return path;
    }
  }
  return std::nullopt;
}

// Nothing when there are no images of that part; images without labels are an error.
std::shared_ptr<const IdxDataset> open_part(const fs::path& folder, const std::string& prefix,
                                            const std::string& part) {
  const auto images = find_file(folder, prefix, "images");
  if (!images) return nullptr;
  const auto labels = find_file(folder, prefix, "labels");
  if (!labels)
    throw DataError(
        fmt::format("'{}' has no labels beside it: expected {}-labels-idx1-ubyte or the same with .gz",
                    images->string(), prefix));
  return std::make_shared<IdxDataset>(*images, *labels, part);
}

std::vector<std::string> numbered_classes(std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i)
    names.push_back(std::to_string(i));
  return names;
}

void check_labels(const IdxDataset& data, std::int64_t classes, const char* part, const fs::path& folder) {
  if (data.max_label() >= classes)
    throw DataError(fmt::format("the {} labels in '{}' go up to {}, but there are only {} classes (0 to {})",
                                part, folder.string(), data.max_label(), classes, classes - 1));
}

}  // namespace

bool has_idx_files(const fs::path& folder) {
  return find_file(folder, "train", "images").has_value();
}

DataSource open_idx(const fs::path& folder, std::vector<std::string> class_names,
                    const DataOptions& options) {
  const auto train = open_part(folder, "train", "train");
  const auto test = open_part(folder, "t10k", "test");
  DataSource source;
  source.class_names =
      class_names.empty() ? numbered_classes(train->max_label() + 1) : std::move(class_names);
  const std::int64_t classes = std::ssize(source.class_names);
  check_labels(*train, classes, "training", folder);
  if (test) check_labels(*test, classes, "test", folder);
  if (test && (test->height() != train->height() || test->width() != train->width()))
    throw DataError(fmt::format("'{}': training images have {} x {} pixels, but test images {} x {}",
                                folder.string(), train->width(), train->height(), test->width(),
                                test->height()));
  Fingerprint fingerprint;
  train->add_to(fingerprint);
  if (test) test->add_to(fingerprint);
  source.fingerprint = fingerprint.hex();
  source.native_size = train->height() == train->width() ? train->height() : 0;
  source.native_channels = 1;
  const std::int64_t images = train->size() + (test ? test->size() : 0);
  source.description =
      fmt::format("{} images, {} classes, IDX files in {}", grouped(images), classes, folder.string());
  if (test) {
    source.train = train;
    source.val = test;
    return source;
  }
  TrainAndVal parts = split_by_class(train, classes, options);
  source.train = std::move(parts.train);
  source.val = std::move(parts.val);
  source.description += fmt::format("; {} of them set aside for validation", grouped(source.val->size()));
  return source;
}

}  // namespace vitrail
