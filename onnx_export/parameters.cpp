#include "onnx_export/parameters.h"

#include <fmt/format.h>

#include <cassert>
#include <cstring>

#include "engine/error.h"
#include "engine/sections.h"

namespace vitrail::onnx_export {
namespace {

bool is_wide(DType dtype) {
  if (dtype != DType::f32 && dtype != DType::f64) {
    throw ConfigError(fmt::format("ONNX export: expected weights in f32 or f64, found {}; convert them first",
                                  name_of(dtype)));
  }
  return dtype == DType::f64;
}

std::int64_t product(const Dims& dims) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : dims)
    elements *= extent;
  return elements;
}

}  // namespace

void Parameters::Tensor::read(std::size_t first, std::span<float> to) const {
  assert(first + to.size() <= elements());
  if (!wide) {
    std::memcpy(to.data(), bytes.data() + first * sizeof(float), to.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    double element = 0;
    std::memcpy(&element, bytes.data() + (first + i) * sizeof(double), sizeof(double));
    to[i] = static_cast<float>(element);
  }
}

std::vector<float> Parameters::Tensor::floats() const {
  std::vector<float> result(elements());
  read(0, result);
  return result;
}

Parameters::Parameters(const ParamSet& params, const Backend& backend)
    : count_(params.parameters()), wide_(is_wide(params.dtype())) {
  const std::byte* data = backend.host_bytes(params.flat());
  std::shared_ptr<std::vector<std::byte>> downloaded;
  if (data == nullptr) {
    downloaded = std::make_shared<std::vector<std::byte>>(params.bytes());
    backend.download(downloaded->data(), params.flat(), downloaded->size());
    data = downloaded->data();
  }
  const std::size_t size = vitrail::size_of(params.dtype());
  for (const ParamTensor& tensor : params.tensors()) {
    const Shape& shape = tensor.spec.shape;
    const Bytes bytes(data + static_cast<std::size_t>(tensor.offset) * size,
                      static_cast<std::size_t>(shape.elements()) * size);
    tensors_[tensor.spec.name] = {
        {shape.dims.begin(), shape.dims.begin() + shape.rank}, wide_, bytes, downloaded};
  }
}

Parameters::Parameters(const MappedModel& model) : mapped_(&model), wide_(is_wide(model.dtype)) {
  for (const format::TensorRecord& record : model.file.tensors()) {
    if (record.role != model.role) continue;
    tensors_[record.name] = {record.shape, wide_, {}, nullptr};
    count_ += product(record.shape);
  }
}

std::optional<Parameters::Tensor> Parameters::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  Tensor tensor = found->second;
  if (mapped_ != nullptr) tensor.bytes = mapped_->file.read(*mapped_->file.find(mapped_->role, name));
  return tensor;
}

}  // namespace vitrail::onnx_export
