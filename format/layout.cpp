#include "format/layout.h"

namespace vitrail::format {

std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxRank) return std::nullopt;
  std::uint64_t elements = 1;
  for (std::int64_t extent : shape) {
    if (extent < 0 || static_cast<std::uint64_t>(extent) > kMaxExtent) return std::nullopt;
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(extent), &product) ||
        product > kMaxExtent) {
      return std::nullopt;
    }
    elements = product;
  }
  return elements;
}

std::optional<std::uint64_t> tensor_bytes(ElementType type, std::span<const std::int64_t> shape) {
  const std::optional<int> bits = bits_of(type);
  const std::optional<std::uint64_t> elements = element_count(shape);
  if (!bits || !elements) return std::nullopt;
  const std::uint64_t total = *elements * static_cast<std::uint64_t>(*bits);  // at most 2^48 · 2^7
  const bool whole = total % 8 == 0 && (*bits >= 8 || shape.empty() || shape.back() % 2 == 0);
  if (!whole || total / 8 > kMaxTensorBytes) return std::nullopt;
  return total / 8;
}

void append_identity(std::vector<std::byte>& identity, const TensorRecord& tensor, const Hash128& hash) {
  append(identity, static_cast<std::uint16_t>(tensor.role));
  append(identity, static_cast<std::uint8_t>(tensor.type));
  append(identity, static_cast<std::uint8_t>(tensor.shape.size()));
  append(identity, static_cast<std::uint32_t>(tensor.name.size()));
  const Bytes name = std::as_bytes(std::span(tensor.name));
  identity.insert(identity.end(), name.begin(), name.end());
  for (std::int64_t extent : tensor.shape)
    append(identity, static_cast<std::uint64_t>(extent));
  append(identity, hash.low);
  append(identity, hash.high);
}

Hash128 hash_of(std::span<const Hash128> hashes) {
  return hash128(std::as_bytes(hashes));
}

}  // namespace vitrail::format
