#include "format/torch_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>

namespace vitrail::format {
namespace {

bool is_dense(const PickledTensor& tensor) {
  std::int64_t step = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != step) return false;
    step *= tensor.shape[i];
  }
  return true;
}

// The shape's product; the pickle's reader has checked that it is one.
std::uint64_t elements_of(const PickledTensor& tensor) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : tensor.shape)
    count *= static_cast<std::uint64_t>(extent);
  return count;
}

// Row-major order of a strided tensor.
template <std::size_t kSize>
std::byte* gather(const PickledTensor& tensor, const std::byte* from, std::size_t axis, std::byte* to) {
  if (axis == tensor.shape.size()) return std::copy_n(from, kSize, to);
  const std::int64_t step = tensor.strides[axis] * std::int64_t{kSize};
  const bool last = axis + 1 == tensor.shape.size();
  for (std::int64_t i = 0; i < tensor.shape[axis]; ++i)
    to =
        last ? std::copy_n(from + i * step, kSize, to) : gather<kSize>(tensor, from + i * step, axis + 1, to);
  return to;
}

void gather(const PickledTensor& tensor, std::size_t size, const std::byte* from, std::byte* to) {
  switch (size) {
    case 1:
      gather<1>(tensor, from, 0, to);
      return;
    case 2:
      gather<2>(tensor, from, 0, to);
      return;
    case 4:
      gather<4>(tensor, from, 0, to);
      return;
    case 8:
      gather<8>(tensor, from, 0, to);
      return;
    default:
      gather<16>(tensor, from, 0, to);
      return;
  }
}

void require_bools(Bytes bytes, const std::string& name) {
  if (std::ranges::any_of(bytes, [](std::byte b) { return b > std::byte{1}; }))
    throw FormatError(fmt::format("tensor '{}' of bools has a byte that is neither 0 nor 1", name));
}

class Records {
 public:
  Records(const TorchParts& parts, std::uint64_t budget, OwnedBytes& owned)
      : parts_(parts), left_(budget), owned_(owned) {
    for (const Pickle::Place& place : parts.pickle.places)
      ++uses_[place.name];
  }

  std::vector<TensorRecord> take() {
    for (const Pickle::Place& place : parts_.pickle.places) {
      const PickledTensor& tensor = parts_.pickle.tensors[place.tensor];
      TensorRecord record{.name = place.name, .type = tensor.type, .shape = tensor.shape, .bytes = {}};
      const auto [owner, first] = owners_.try_emplace(Less::key(tensor), records_.size());
      if (first) {
        record.bytes = bytes_of(tensor, place.name);
        if (tensor.type == ElementType::boolean) require_bools(record.bytes, place.name);
      } else {
        record.bytes = records_[owner->second].bytes;
        const std::string& name = records_[owner->second].name;
        if (name != place.name && uses_[name] == 1) record.alias_of = name;
      }
      records_.push_back(std::move(record));
    }
    return std::move(records_);
  }

 private:
  // What makes two tensors the same bytes.
  struct Less {
    using Key = std::tuple<std::size_t, std::int64_t, ElementType, const PickledTensor*>;
    static Key key(const PickledTensor& tensor) {
      return {tensor.storage, tensor.begin, tensor.type, &tensor};
    }
    bool operator()(const Key& a, const Key& b) const {
      const auto order = [](const Key& k) {
        return std::tie(std::get<0>(k), std::get<1>(k), std::get<2>(k));
      };
      if (order(a) != order(b)) return order(a) < order(b);
      const PickledTensor &x = *std::get<3>(a), &y = *std::get<3>(b);
      return std::tie(x.shape, x.strides) < std::tie(y.shape, y.strides);
    }
  };

  Bytes bytes_of(const PickledTensor& tensor, const std::string& name) {
    const std::size_t size = static_cast<std::size_t>(*bits_of(tensor.type)) / 8;
    const std::uint64_t count = elements_of(tensor), bytes = count * size;
    if (count == 0) return {};
    const std::byte* from = parts_.storages[tensor.storage].data() + tensor.begin;
    const bool aligned = reinterpret_cast<std::uintptr_t>(from) % size == 0;
    if (is_dense(tensor) && aligned) return {from, bytes};
    if (bytes > left_)
      throw FormatError(
          fmt::format("tensor '{}' repeats its storage: its {} bytes, and those of others like it, "
                      "are more than the file and 64 MiB",
                      name, bytes));
    left_ -= bytes;
    owned_.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
    gather(tensor, size, from, owned_.back().get());
    return {owned_.back().get(), bytes};
  }

  const TorchParts& parts_;
  std::uint64_t left_;
  OwnedBytes& owned_;
  std::map<std::string, int> uses_;  // of a name
  std::map<Less::Key, std::size_t, Less> owners_;
  std::vector<TensorRecord> records_;
};

}  // namespace

std::vector<TensorRecord> torch_records(const TorchParts& parts, std::uint64_t budget, OwnedBytes& owned) {
  return Records(parts, budget, owned).take();
}

}  // namespace vitrail::format
