#pragma once
// What a family fixes beyond its tensors and documents, and what then must be asked for.

#include "engine/families/facts.h"
#include "engine/families/renaming.h"

namespace vitrail::families {

// Beyond doubt: an empty or missing entry must be found elsewhere or asked for.
struct Fixed {
  const char* name = "";
  std::optional<double> norm_eps;
  std::optional<GeluKind> gelu;
  const char* normalization = "";  // as in ImportOptions
  std::optional<double> crop_pct;
};
Fixed fixed_by_naming(const Renamed& renamed, const VitConfig& config);

// Adds what timm's name tells (if there is one), then what the family fixes.
void learn_architecture(const VitConfig& found, Facts& facts);
void learn_fixed(const Renamed& renamed, const Fixed& fixed, const VitConfig& config, Facts& facts);

// What is still not known, each with the setting that tells it.
std::vector<std::string> questions(const Facts& facts, const VitConfig& config);

}  // namespace vitrail::families
