#pragma once
// The parameters of a model where the host can read them, without a copy: those of a ParamSet, or those of a
// file that is mapped.

#include <map>
#include <string_view>

#include "engine/model_io.h"
#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

class Parameters {
 public:
  struct Tensor {
    Dims dims;
    bool wide = false;  // f64, else f32
    Bytes bytes;
    std::shared_ptr<const std::vector<std::byte>> owner;  // of bytes that came from another device

    std::size_t elements() const { return bytes.size() / (wide ? 8 : 4); }
    // Elements [first, first + to.size()), rounded to f32.
    void read(std::size_t first, std::span<float> to) const;
    std::vector<float> floats() const;
  };

  // The model outlives this object and all tensors. Throws ConfigError for weights that are neither f32 nor
  // f64.
  Parameters(const ParamSet& params, const Backend& backend);
  explicit Parameters(const MappedModel& model);

  // Null when the model has no such parameter. Of a file the bytes are checked against their hashes first:
  // throws format::FormatError.
  std::optional<Tensor> find(const std::string& name) const;
  std::int64_t count() const { return count_; }  // of elements
  bool converted() const { return wide_; }       // f64 becomes f32

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  const MappedModel* mapped_ = nullptr;
  std::int64_t count_ = 0;
  bool wide_ = false;
};

}  // namespace vitrail::onnx_export
