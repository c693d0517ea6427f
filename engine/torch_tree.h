#pragma once
// A `.vitrail` file as the tree that PyTorch's programs save, and back to the same bytes.
//
//   weights, model:  {'state_dict', 'labels', 'vitrail'}
//   checkpoint:      {'model', 'model_ema', 'optimizer', 'scheduler', 'epoch', 'labels', 'config', 'vitrail'}
//
// 'optimizer' is the state dict of AdamW or Adam over the groups of timm (optim/_param_groups.py), with
// 'param_names'; 'scheduler' the position of a scheduler that steps once an optimizer step; 'config' our
// settings. 'vitrail' holds what PyTorch has no place for: the kind of file, its metadata as bytes
// (format/SPEC.md), and tensors of other roles.

#include <memory>
#include <optional>

#include "engine/weight_file.h"
#include "format/container.h"

namespace vitrail {

struct TorchTree {
  format::Datum root;
  std::vector<format::TensorRecord> tensors;  // that the root points at; views of `contents` and of storage
  std::shared_ptr<const void> storage;
};

// `contents` must outlive the tree.
TorchTree torch_tree(const format::ContainerContents& contents);

// The metadata that a file of another format carries of the `.vitrail` file it was made from.
struct Carried {
  format::FileKind kind = format::FileKind::weights;
  format::Table root;
};
std::optional<Carried> carried(const WeightFile& file);  // throws FormatError when they are damaged
// The metadata as bytes, without what a writer derives from the tensors.
std::vector<std::byte> carried_bytes(format::Table root);
// The same as metadata of a safetensors file.
std::map<std::string, std::string> carrying(const format::ContainerContents& contents);

// The `.vitrail` file that `file` was made from; views of `file`. Nothing when it was made from none, or was
// changed since in a way that its metadata do not describe.
std::optional<format::ContainerContents> restored(const WeightFile& file);

}  // namespace vitrail
