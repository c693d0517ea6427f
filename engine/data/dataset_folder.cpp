// Images in class folders: CLASS/FILE, or train/CLASS/FILE and val/CLASS/FILE.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "engine/data/dataset_kinds.h"
#include "engine/data/file_bytes.h"
#include "engine/data/fingerprint.h"
#include "engine/data/image_formats.h"
#include "engine/data/subset.h"
#include "engine/error.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

struct ImageFile {
  std::string path;  // below the folder that was opened, with '/'
  std::uint64_t size = 0;
  std::int64_t label = 0;
};

struct Listing {
  std::vector<std::string> classes;  // sorted
  std::vector<ImageFile> files;      // by class, then by path
  std::int64_t ignored = 0;          // files that are no images, or lie in no class folder
};

class FolderDataset : public Dataset {
 public:
  FolderDataset(fs::path root, std::vector<ImageFile> files)
      : root_(std::move(root)), files_(std::move(files)) {}

  std::int64_t size() const override { return std::ssize(files_); }
  std::int64_t label(std::int64_t index) const override { return file(index).label; }
  std::string name(std::int64_t index) const override { return path(index).string(); }
  Image load(std::int64_t index, std::int64_t channels) const override {
    return read_image(path(index), channels);
  }

  fs::path path(std::int64_t index) const { return root_ / file(index).path; }

 private:
  const ImageFile& file(std::int64_t index) const { return files_[static_cast<std::size_t>(index)]; }

  fs::path root_;
  std::vector<ImageFile> files_;
};

bool is_hidden(const fs::path& path) {
  return path.filename().native().starts_with('.');
}

bool has_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& letter : ending)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

// What a folder holds, without hidden entries, sorted by the bytes of the names.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!is_hidden(it->path())) entries.push_back(it->path());
  if (error) throw DataError(fmt::format("cannot list '{}': {}", folder.string(), error.message()));
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// Images below `folder`, in folders of folders too; a link to a folder is not followed, so that none is a
// circle.
void list_images(const fs::path& root, const fs::path& folder, std::int64_t label, Listing& listing) {
  for (const fs::path& entry : entries_of(folder)) {
    std::error_code error;
    if (is_folder(entry)) {
      if (fs::is_symlink(entry, error))
        ++listing.ignored;
      else
        list_images(root, entry, label, listing);
    } else if (has_image_name(entry)) {
      const std::uintmax_t size = fs::file_size(entry, error);
      if (error) throw DataError(fmt::format("cannot read '{}': {}", entry.string(), error.message()));
      listing.files.push_back(
          {.path = entry.lexically_relative(root).generic_string(), .size = size, .label = label});
    } else {
      ++listing.ignored;
    }
  }
}

// The class folders in `folder`. With `known`, classes get their numbers from there, and others are an error.
Listing list_classes(const fs::path& root, const fs::path& folder, const std::vector<std::string>* known) {
  Listing listing;
  for (const fs::path& entry : entries_of(folder)) {
    if (!is_folder(entry)) {
      ++listing.ignored;
      continue;
    }
    const std::string name = entry.filename().string();
    std::int64_t label = std::ssize(listing.classes);
    if (known != nullptr) {
      const auto found = std::find(known->begin(), known->end(), name);
      if (found == known->end())
        throw DataError(
            fmt::format("'{}' is a class that the training images lack: expected the folders of the "
                        "training images; remove or rename it",
                        entry.string()));
      label = found - known->begin();
    }
    const std::size_t before = listing.files.size();
    list_images(root, entry, label, listing);
    if (listing.files.size() == before && known == nullptr)
      throw DataError(fmt::format("class folder '{}' holds no PNG or JPEG files: add some, or remove it",
                                  entry.string()));
    listing.classes.push_back(name);
  }
  return listing;
}

// Where training and validation images lie; no second folder when they must be split.
struct FolderLayout {
  fs::path train;
  std::optional<fs::path> val;
};

FolderLayout find_layout(const fs::path& root) {
  const fs::path train = root / "train";
  const std::vector<fs::path> inside = is_folder(train) ? entries_of(train) : std::vector<fs::path>{};
  if (std::none_of(inside.begin(), inside.end(), is_folder)) return {.train = root, .val = std::nullopt};
  for (const char* name : {"val", "valid", "validation", "test"})
    if (is_folder(root / name)) return {.train = train, .val = root / name};
  return {.train = train, .val = std::nullopt};
}

void check_training_classes(const Listing& listing, const fs::path& folder) {
  if (listing.classes.size() >= 2) return;
  throw DataError(fmt::format(
      "'{}' holds {}, expected a folder for each of two or more classes, with PNG or JPEG files in them{}",
      folder.string(),
      listing.classes.empty() ? "no folders" : "only the folder '" + listing.classes[0] + "'",
      listing.ignored > 0 ? fmt::format(" ({} other files lie there)", listing.ignored) : ""));
}

void add_to(Fingerprint& fingerprint, const Listing& listing) {
  fingerprint.add(std::uint64_t{listing.files.size()});
  for (const ImageFile& file : listing.files) {
    fingerprint.add(file.path);
    fingerprint.add(file.size);
  }
}

// The headers of some images, evenly spaced: whether all are squares of one size, and whether all are grey.
void look_at_headers(const FolderDataset& data, DataSource& source) {
  constexpr std::int64_t kImages = 16;
  constexpr std::size_t kHead = std::size_t{1} << 18;  // bytes: EXIF previews come before a JPEG's extents
  std::int64_t seen = 0, grey = 0, size = 0;
  bool squares = true;
  const std::int64_t count = std::min(kImages, data.size());
  for (std::int64_t i = 0; i < count; ++i) {
    ImageHeader header;
    try {
      header = image_header(read_head(data.path(i * data.size() / count), kHead));
    } catch (const DataError&) {  // the loader replaces and names it
      continue;
    }
    if (seen++ == 0) size = header.width;
    squares = squares && header.width == size && header.height == size;
    grey += header.grey ? 1 : 0;
  }
  source.native_size = squares ? size : 0;
  source.native_channels = seen > 0 && grey == seen ? 1 : 3;
}

std::string describe(const fs::path& root, const FolderLayout& layout, const Listing& train,
                     const Listing& val, std::int64_t set_aside) {
  std::string text = fmt::format("{} images, {} classes, folders in {}",
                                 grouped(std::ssize(train.files) + std::ssize(val.files)),
                                 train.classes.size(), root.string());
  if (layout.val)
    text += fmt::format("; validation in {}/", layout.val->filename().string());
  else
    text += fmt::format("; {} of them set aside for validation", grouped(set_aside));
  const std::int64_t ignored = train.ignored + val.ignored;
  if (ignored > 0) text += fmt::format("; {} other files ignored", grouped(ignored));
  return text;
}

}  // namespace

DataSource open_folder(const fs::path& folder, const DataOptions& options) {
  const FolderLayout layout = find_layout(folder);
  const Listing train = list_classes(folder, layout.train, nullptr);
  check_training_classes(train, layout.train);
  const Listing val = layout.val ? list_classes(folder, *layout.val, &train.classes) : Listing{};
  if (layout.val && val.files.empty())
    throw DataError(
        fmt::format("'{}' holds no PNG or JPEG files in class folders: add some, or remove it to have "
                    "training images set aside",
                    layout.val->string()));
  DataSource source;
  source.class_names = train.classes;
  Fingerprint fingerprint;
  add_to(fingerprint, train);
  add_to(fingerprint, val);
  source.fingerprint = fingerprint.hex();
  const auto data = std::make_shared<FolderDataset>(folder, train.files);
  look_at_headers(*data, source);
  if (layout.val) {
    source.train = data;
    source.val = std::make_shared<FolderDataset>(folder, val.files);
  } else {
    TrainAndVal parts = split_by_class(data, std::ssize(train.classes), options);
    source.train = std::move(parts.train);
    source.val = std::move(parts.val);
  }
  source.description = describe(folder, layout, train, val, source.val->size());
  return source;
}

}  // namespace vitrail
