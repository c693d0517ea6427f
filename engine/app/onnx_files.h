#pragma once
// ONNX files in `vitrail verify`.

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "engine/app/console.h"

namespace vitrail::app {

// By its name: FILE.onnx.
bool is_onnx_file(const std::filesystem::path& path);

// What was found out about a file. One that carries no self-test is unproven: it may be good.
enum class Proof : std::uint8_t { proven, unproven, damaged, unreadable };

struct OnnxFileReport {
  Proof proof = Proof::damaged;
  std::string text;  // for people
  nlohmann::ordered_json json;
};

// Checks files; the self-test runs in the reference interpreter, or in onnxruntime.
class OnnxVerifier {
 public:
  // runtime: "reference" or "onnxruntime"; library: where that is, or empty. Throws ConfigError.
  OnnxVerifier(const std::string& runtime, const std::string& library);
  ~OnnxVerifier();
  OnnxFileReport verify(const std::filesystem::path& path);

 private:
  struct Machinery;
  std::unique_ptr<Machinery> machinery_;
};

// One row of a report.
void show(Console& console, const OnnxFileReport& report);

}  // namespace vitrail::app
