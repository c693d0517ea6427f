#pragma once
// The shared library of onnxruntime, loaded when it is asked for and never linked: its C API, of which the
// few functions used here have kept their places in the table since version 1 (the library asserts so itself:
// microsoft/onnxruntime onnxruntime/core/session/onnxruntime_c_api.cc, "Size of version 1 API cannot
// change").

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "onnx_export/interpreter.h"

namespace vitrail::onnx_export {

class OnnxRuntime {
 public:
  // `library`: a path, or empty for the environment's VITRAIL_ONNXRUNTIME and then the loader's own search
  // for libonnxruntime.so. Throws ConfigError when there is none.
  explicit OnnxRuntime(const std::string& library);
  ~OnnxRuntime();
  OnnxRuntime(const OnnxRuntime&) = delete;
  OnnxRuntime& operator=(const OnnxRuntime&) = delete;

  const std::string& version() const { return version_; }  // "1.32.0"
  // All optimisations, on the CPU. Throws FormatError with what onnxruntime says of a file that it does not
  // run.
  std::vector<reference::Tensor> run(const std::filesystem::path& model, const std::string& input_name,
                                     const reference::Tensor& input, const std::vector<std::string>& outputs,
                                     const std::shared_ptr<reference::Budget>& budget);

 private:
  struct Api;
  struct Session;
  void* library_ = nullptr;
  std::unique_ptr<Api> api_;
  std::string version_;
};

}  // namespace vitrail::onnx_export
