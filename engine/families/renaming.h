#pragma once
// A file's tensors under our names.

#include <functional>
#include <map>

#include "engine/families/names.h"
#include "engine/param_set.h"
#include "engine/weight_file.h"

namespace vitrail::families {

using Extents = std::vector<std::int64_t>;

// A tensor of the file that fills a parameter, or a third of it.
struct Piece {
  const format::TensorRecord* record = nullptr;
  std::span<const std::byte> bytes;  // an alias has its owner's
  Part part = Part::whole;
  Order order = Order::same;

  Extents shape() const;  // of what it fills, in our order of axes
};

struct Renamed {
  const Naming* naming = nullptr;
  std::string prefix;                                // of the network in the file: "vit.", "visual.", ""
  std::map<std::string, std::vector<Piece>> pieces;  // by our names
  std::map<std::string, int> left_out;               // what, and how many tensors of it
  std::vector<std::string> unexpected;

  bool has(const std::string& name) const { return pieces.contains(name); }
  // Extent `axis` of the first piece of `name`, counted from the end if negative; 0 if there is none.
  std::int64_t extent(const std::string& name, int axis) const;
};

// Throws ConfigError when the file holds no network whose names we know, or several.
Renamed rename_tensors(const WeightFile& file);

// All that does not fit the network: missing, mismatched and unexpected tensors, a line each. `expected` says
// what shape a parameter's tensor must have in the file; an empty one: it may be absent.
std::vector<std::string> misfits(const Renamed& renamed, const VitConfig& config,
                                 const std::function<Extents(const ParamSpec&)>& expected);

}  // namespace vitrail::families
