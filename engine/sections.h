#pragma once
// Configurations as metadata tables of a `.vitrail` file, and back (format/SPEC.md, "Sections").

#include "engine/data/transform.h"
#include "engine/param_set.h"
#include "engine/train_config.h"
#include "format/container.h"

namespace vitrail {

format::Table to_table(const VitConfig& config, DType dtype);
VitConfig vit_config_from(const format::Table& table);
DType dtype_from(const format::Table& model_table);

format::Table to_table(const InputConfig& input, const std::vector<std::string>& labels);
InputConfig input_config_from(const format::Table& table);

std::string producer();  // "vitrail 0.1.0"
format::ElementType element_type(DType dtype);

// What a file says of a tensor; its bytes are yet to be set.
format::TensorRecord record_of(const ParamTensor& tensor, format::Role role);

// A ParamSet's values on the host, and the records that point to them: where they stand if the host can read
// them there, else downloaded.
class HostTensors {
 public:
  HostTensors(const Backend& backend, const ParamSet& params, format::Role role);
  std::vector<format::TensorRecord> records() const;

 private:
  const ParamSet& params_;
  format::Role role_;
  std::vector<std::byte> downloaded_;
  const std::byte* data_ = nullptr;
};

// Strict: tensors of `role` in the file must be those of `specs` by name and shape, all of type `dtype`.
// Throws format::FormatError listing all that are missing, unexpected or mismatched.
void require_tensors(const format::Container& file, format::Role role, const std::vector<ParamSpec>& specs,
                     DType dtype);
// The same, and their values.
void load_tensors(const format::Container& file, format::Role role, Backend& backend, const ParamSet& params);

}  // namespace vitrail
