#pragma once
// Parameters' names in the libraries that we read, as tables. A row says which of our parameters a tensor of
// theirs fills and how its elements lie; the same rows are read backwards to export.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::families {

// Where in our parameter: all of it, or one third of qkv's rows.
enum class Part : std::uint8_t { whole, query, key, value };

// How their elements lie.
enum class Order : std::uint8_t {
  same,        // as ours, axes of extent 1 aside
  flat,        // as ours, over several axes: (heads, head dim) for (dim)
  transposed,  // (in, out) for our (out, in); either may be several axes
  patches,     // (P, P, channels, dim) for our (dim, channels, P, P)
};

// In patterns # stands for a block's number, ? for a digit, * for "weight" or "bias". Names are those behind
// the prefix that the whole network has in the file ("vit.", "visual.", …); with ^ in front, of the whole
// file.
struct NameRow {
  const char* theirs;
  const char* ours;
  Part part = Part::whole;
  Order order = Order::same;
};

// What may stand in a file without being a part of our network; * stands for any characters.
struct LeftOut {
  const char* pattern;
  const char* what;  // in words, for the user
};

enum class Library : std::uint8_t { timm, hf, hf_clip, openai, jax };

struct Naming {
  Library library;
  const char* sign;  // the tensor that tells this naming; what stands before it is the prefix
  std::vector<std::span<const NameRow>> rows;
  std::vector<std::span<const LeftOut>> left_out;
};

std::span<const Naming> namings();

// Hugging Face's classes, for export.
enum class HfClass : std::uint8_t { vit, deit, dinov2, clip };
std::vector<std::span<const NameRow>> hf_rows(HfClass hf_class);

// Why a tensor has no place in our network, where we know the feature it belongs to; else empty.
std::string_view unsupported_feature(std::string_view name);

// `name` matched against `pattern` and the result written as `other`: ("blocks.#.norm1.*",
// "blocks.3.norm1.bias", "layer.#.ln.*") gives "layer.3.ln.bias"; nothing when it does not match.
std::optional<std::string> rename(std::string_view pattern, std::string_view name, std::string_view other);

}  // namespace vitrail::families
