#pragma once
// What network a file's tensors make, and what its family fixes beyond its tensors.

#include "engine/families/facts.h"
#include "engine/families/renaming.h"

namespace vitrail::families {

struct Family {
  std::string name;   // "timm ViT", …
  VitConfig config;   // of the network in the file
  InputConfig input;  // of its images
  bool headless = false;
  // pos_embed has a row for the class token and none for the registers: that row goes into cls_token, the
  // others are the patches' (timm, vision_transformer.py, checkpoint_filter_fn).
  bool fold_class_position = false;
  // The head reads the class token and the mean of the patches; the second half must be zero
  // (Dinov2ForImageClassification).
  bool wide_head = false;
  std::vector<std::string> lines;
};

// Throws ConfigError listing all misfits of the tensors, or else all that cannot be known and the settings
// that tell it. `renamed` changes where a tensor plays another part than its name says.
Family find_family(const WeightFile& file, Renamed& renamed, Facts& facts, bool new_head);

}  // namespace vitrail::families
