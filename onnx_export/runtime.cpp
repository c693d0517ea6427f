#include "onnx_export/runtime.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engine/error.h"
#include "format/error.h"

namespace vitrail::onnx_export {
namespace {

using reference::Dims;
using reference::Tensor;

constexpr std::uint32_t kApiVersion = 1;

// OrtApiBase: the one table whose layout is fixed beside OrtApi's.
struct ApiBase {
  const void* (*get_api)(std::uint32_t version);
  const char* (*version)();
};

// Places of functions in OrtApi (microsoft/onnxruntime include/onnxruntime/core/session/onnxruntime_c_api.h).
enum Place : std::size_t {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetSessionLogSeverityLevel = 22,
  kCreateTensorWithData = 49,
  kGetTensorMutableData = 51,
  kGetTensorElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kGetTensorTypeAndShape = 65,
  kCreateCpuMemoryInfo = 69,
  kReleaseEnv = 92,
  kReleaseStatus = 93,
  kReleaseMemoryInfo = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTensorTypeAndShapeInfo = 99,
  kReleaseSessionOptions = 100,
};

constexpr int kErrorsOnly = 3;  // ORT_LOGGING_LEVEL_ERROR

void* open_library(const std::string& name) {
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) return library;
  throw ConfigError(fmt::format(
      "onnxruntime: expected its shared library, found none ({}); use --runtime-library PATH, for example of "
      "onnxruntime/capi/libonnxruntime.so.* in the Python package",
      dlerror()));
}

std::string library_name(const std::string& asked) {
  if (!asked.empty()) return asked;
  const char* set = std::getenv("VITRAIL_ONNXRUNTIME");
  return set != nullptr && *set != '\0' ? set : "libonnxruntime.so";
}

}  // namespace

struct OnnxRuntime::Api {
  const void* const* table;

  // The function at a place. Its results are OrtStatus pointers, null for success, unless it releases
  // something.
  template <class... Arguments>
  void call(Place place, Arguments... arguments) const {
    using Function = void* (*)(Arguments...);
    void* status = reinterpret_cast<Function>(const_cast<void*>(table[place]))(arguments...);
    if (status == nullptr) return;
    const std::string message =
        reinterpret_cast<const char* (*)(const void*)>(const_cast<void*>(table[kGetErrorMessage]))(status);
    release(kReleaseStatus, status);
    throw format::FormatError("onnxruntime: " + message);
  }
  void release(Place place, void* object) const {
    if (object != nullptr) reinterpret_cast<void (*)(void*)>(const_cast<void*>(table[place]))(object);
  }
};

namespace {

template <class Api>
struct Owned {
  const Api& api;
  Place place;
  void* object = nullptr;

  Owned(const Api& owner, Place release) : api(owner), place(release) {}
  ~Owned() { api.release(place, object); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
};

template <class Api>
Tensor decode(const Api& api, void* value, const std::string& name,
              const std::shared_ptr<reference::Budget>& budget) {
  Owned<Api> info(api, kReleaseTensorTypeAndShapeInfo);
  api.call(kGetTensorTypeAndShape, static_cast<const void*>(value), &info.object);
  int type = 0;
  std::size_t rank = 0;
  api.call(kGetTensorElementType, static_cast<const void*>(info.object), &type);
  api.call(kGetDimensionsCount, static_cast<const void*>(info.object), &rank);
  Dims dims(rank);
  api.call(kGetDimensions, static_cast<const void*>(info.object), dims.data(), rank);
  const reference::Type element = reference::checked_type(type, name);
  void* data = nullptr;
  api.call(kGetTensorMutableData, value, &data);
  const std::size_t bytes =
      static_cast<std::size_t>(reference::checked_elements(dims, name)) * size_of(element);
  return reference::decode_tensor(budget, element, dims, {static_cast<const std::byte*>(data), bytes}, name);
}

}  // namespace

OnnxRuntime::OnnxRuntime(const std::string& library) : library_(open_library(library_name(library))) {
  const auto base = reinterpret_cast<const ApiBase* (*)()>(dlsym(library_, "OrtGetApiBase"));
  const void* table = base == nullptr ? nullptr : base()->get_api(kApiVersion);
  if (table == nullptr) {
    dlclose(library_);
    throw ConfigError(
        fmt::format("{}: expected the shared library of onnxruntime, found another; use its "
                    "libonnxruntime.so",
                    library_name(library)));
  }
  version_ = base()->version();
  api_ = std::make_unique<Api>(Api{static_cast<const void* const*>(table)});
}

// The library stays loaded: onnxruntime keeps threads and globals that do not survive their code.
OnnxRuntime::~OnnxRuntime() = default;

std::vector<Tensor> OnnxRuntime::run(const std::filesystem::path& model, const std::string& input_name,
                                     const Tensor& input, const std::vector<std::string>& outputs,
                                     const std::shared_ptr<reference::Budget>& budget) {
  const Api& api = *api_;
  Owned<Api> env(api, kReleaseEnv), options(api, kReleaseSessionOptions), session(api, kReleaseSession),
      memory(api, kReleaseMemoryInfo), value(api, kReleaseValue);
  api.call(kCreateEnv, kErrorsOnly, "vitrail", &env.object);
  api.call(kCreateSessionOptions, &options.object);
  api.call(kSetSessionLogSeverityLevel, options.object, kErrorsOnly);
  const std::string path = model.string();
  api.call(kCreateSession, static_cast<const void*>(env.object), path.c_str(),
           static_cast<const void*>(options.object), &session.object);
  api.call(kCreateCpuMemoryInfo, 1, 0, &memory.object);  // OrtArenaAllocator, OrtMemTypeDefault
  std::vector<std::byte> bytes = reference::encode_tensor(input);
  api.call(kCreateTensorWithData, static_cast<const void*>(memory.object), static_cast<void*>(bytes.data()),
           bytes.size(), input.dims.data(), input.dims.size(), static_cast<int>(input.type), &value.object);
  std::vector<std::unique_ptr<Owned<Api>>> results;
  std::vector<void*> objects(outputs.size(), nullptr);
  std::vector<const char*> names;
  for (const std::string& output : outputs) {
    names.push_back(output.c_str());
    results.push_back(std::make_unique<Owned<Api>>(api, kReleaseValue));
  }
  const char* input_names[] = {input_name.c_str()};
  const void* values[] = {value.object};
  api.call(kRun, session.object, static_cast<const void*>(nullptr),
           static_cast<const char* const*>(input_names), static_cast<const void* const*>(values),
           std::size_t{1}, static_cast<const char* const*>(names.data()), names.size(), objects.data());
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    results[i]->object = objects[i];
  for (std::size_t i = 0; i < outputs.size(); ++i)
    tensors.push_back(decode(api, objects[i], outputs[i], budget));
  return tensors;
}

}  // namespace vitrail::onnx_export
