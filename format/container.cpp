#include "format/container.h"

#include <algorithm>

#include "format/sections.h"

namespace vitrail::format {

Container Container::open(const std::filesystem::path& path, const OpenOptions& options) {
  Container container;
  container.source_ = Source(path, options.access);
  container.name_ = path.string();
  container.parse();
  return container;
}

Container Container::open(Bytes bytes, std::string name) {
  Container container;
  container.source_ = Source(bytes);
  container.name_ = std::move(name);
  container.parse();
  return container;
}

void Container::parse() try {
  load_head();
  root_ = tree_of(view_.root);
  list_tensors();
  for (std::uint64_t i = 0; i < view_.chunks.count; ++i)
    chunks_.push_back(view_.chunk_hash(i));
} catch (const FormatError& error) {
  if (name_.empty()) throw;
  throw FormatError::within(name_, error);
}

// Verifies prologue, footer and metadata, wherever they are.
void Container::load_head() {
  const std::uint64_t size = source_.size();
  Verdict verdict;
  if (source_.in_memory()) {
    verdict = verify_file(source_.bytes());
  } else {
    std::byte footer[kFooterBytes];
    head_.resize(std::min(size, kPage));
    source_.read(0, head_);
    Prologue prologue;
    const Rule rule = check_prologue(head_, size, prologue).rule;
    if (rule == Rule::none || rule == Rule::V06) {  // V06: the metadata say who wrote it
      head_.resize(prologue.data_offset);
      source_.read(0, head_);
      source_.read(size - kFooterBytes, footer);
    }
    verdict = verify_file(head_, footer, size);
  }
  if (verdict.refusal.refused()) throw to_error(verdict.refusal);
  view_ = verdict.file;
}

void Container::list_tensors() {
  tensors_.resize(view_.size());
  first_leaf_.resize(view_.size());
  std::uint64_t leaves = 0;
  for (std::uint64_t i = 0; i < view_.size(); ++i) {
    const EntryView entry = view_.entry(i);
    TensorRecord& tensor = tensors_[i];
    tensor.name = view_.name(entry);
    tensor.role = entry.role();
    tensor.type = entry.type();
    for (unsigned axis = 0; axis < entry.rank(); ++axis)
      tensor.shape.push_back(static_cast<std::int64_t>(entry.extent(axis)));
    if (source_.in_memory()) tensor.bytes = source_.bytes().subspan(entry.offset(), entry.bytes());
    tensor.entry = entry.row();
    if (entry.alias()) tensor.alias_of = view_.name(view_.entry(entry.link()));
    first_leaf_[i] = entry.alias() ? first_leaf_[entry.link()] : leaves;
    if (!entry.alias()) leaves += std::max(1U, entry.chunk_count());
  }
  reading_ = std::make_unique<Reading>(leaves);
}

std::uint64_t Container::index(const TensorRecord& tensor) const {
  return static_cast<std::uint64_t>(&tensor - tensors_.data());
}

const TensorRecord* Container::find(Role role, std::string_view name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), std::pair(role, name),
                                      [](const TensorRecord& tensor, const auto& key) {
                                        return std::pair(tensor.role, std::string_view(tensor.name)) < key;
                                      });
  const bool hit = found != tensors_.end() && found->role == role && found->name == name;
  return hit ? &*found : nullptr;
}

std::vector<const TensorRecord*> Container::select(Role role, std::string_view pattern) const {
  std::vector<const TensorRecord*> selected = select(pattern);
  std::erase_if(selected, [role](const TensorRecord* tensor) { return tensor->role != role; });
  return selected;
}

std::vector<const TensorRecord*> Container::select(std::string_view pattern) const {
  std::vector<const TensorRecord*> selected;
  for (const TensorRecord& tensor : tensors_) {
    if (matches(pattern, tensor.name)) selected.push_back(&tensor);
  }
  return selected;
}

std::span<const Hash128> Container::chunk_hashes(const TensorRecord& tensor) const {
  return std::span(chunks_).subspan(entry(tensor).first_chunk(), entry(tensor).chunk_count());
}

std::optional<Hash128> Container::role_hash(Role role) const {
  for (std::uint64_t row = 0; row < view_.roles.count; ++row) {
    if (view_.role(row).role() == role) return view_.role(row).hash();
  }
  return std::nullopt;
}

LaterVersion Container::later() const {
  return later_of(view_);
}

LaterVersion later_of(const FileView& view) {
  const Prologue& prologue = view.prologue;
  LaterVersion later{.minor = prologue.minor,
                     .optional_features = prologue.optional_features,
                     .reserved = prologue.reserved,
                     .entry_bytes = view.tensors.stride,
                     .role_bytes = view.roles.stride,
                     .role_rows = {}};
  for (std::uint64_t row = 0; row < view.roles.count; ++row) {
    const Bytes bytes = view.role(row).row();
    later.role_rows.emplace(view.role(row).role(), std::vector(bytes.begin(), bytes.end()));
  }
  return later;
}

// A star is tried with nothing first; when what follows does not match, with one character more. Only the
// last star ever needs another try.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, behind_star = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      behind_star = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++behind_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace vitrail::format
