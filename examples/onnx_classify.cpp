// Classifies raw samples in C++ with onnxruntime, by a file of
//   vitrail export RUN --to onnx --input uint8 --output topk
// Usage: onnx_classify MODEL.onnx SAMPLES     SAMPLES: size · size · channels bytes, rows of pixels, as
//   convert photo.jpg -resize 224x224^ -gravity center -extent 224x224 -depth 8 rgb:SAMPLES   makes them
// Built where onnxruntime_cxx_api.h is found (CMake: -DONNXRUNTIME_ROOT=FOLDER).

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <vector>

namespace {

void classify(const char* model, const char* samples_file) {
  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "onnx_classify");
  Ort::Session session(env, model, Ort::SessionOptions());
  std::vector<std::int64_t> shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
  shape[0] = 1;  // the file leaves the batch open

  std::ifstream file(samples_file, std::ios::binary);
  std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
  std::vector<std::uint8_t> samples(bytes.begin(), bytes.end());
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::Value input = Ort::Value::CreateTensor<std::uint8_t>(memory, samples.data(), samples.size(),
                                                            shape.data(), shape.size());
  const char* inputs[] = {"images"};
  const char* outputs[] = {"probabilities", "classes"};
  const std::vector<Ort::Value> found = session.Run(Ort::RunOptions(), inputs, &input, 1, outputs, 2);

  Ort::AllocatorWithDefaultOptions allocator;
  const Ort::AllocatedStringPtr labels =
      session.GetModelMetadata().LookupCustomMetadataMapAllocated("labels", allocator);
  std::printf("labels: %s\n", labels ? labels.get() : "none");
  const std::size_t count = found[0].GetTensorTypeAndShapeInfo().GetElementCount();
  for (std::size_t i = 0; i < count; ++i) {
    std::printf("%6.2f %%  class %lld\n", 100.0 * static_cast<double>(found[0].GetTensorData<float>()[i]),
                static_cast<long long>(found[1].GetTensorData<std::int64_t>()[i]));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: onnx_classify MODEL.onnx SAMPLES\n");
    return 2;
  }
  classify(argv[1], argv[2]);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "onnx_classify: %s\n", error.what());
  return 1;
}
