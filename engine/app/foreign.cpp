#include "engine/app/foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "format/error.h"
#include "format/layout.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

struct Foreign {
  const char* what;
  bool (*matches)(std::string_view begin);  // the first 512 bytes, or all
  const char* advice;
};

bool holds(std::string_view begin, std::string_view part) {
  return begin.find(part) != std::string_view::npos;
}

bool is_zip(std::string_view begin) {
  return begin.starts_with("PK\3\4"sv);
}

// A JSON header behind its length in eight bytes.
bool is_safetensors(std::string_view begin) {
  return begin.size() > 9 && begin[7] == 0 && begin[6] == 0 && begin[8] == '{' &&
         (begin[9] == '"' || begin[9] == '}');
}

// A protobuf message that begins with ir_version and goes on with the producer, the opset or the graph.
bool is_onnx(std::string_view begin) {
  return begin.size() > 3 && begin[0] == 8 && begin[1] > 0 && begin[1] < 32 &&
         (begin[2] == 0x12 || begin[2] == 0x3A || begin[2] == 0x42);
}

bool is_text(std::string_view begin) {
  return std::all_of(begin.begin(), begin.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code >= 0x20 ? code != 0x7F : code == '\t' || code == '\n' || code == '\r';
  });
}

constexpr const char* kOurs = "use the .vitrail file of a run, for example RUN/best.vitrail";
constexpr const char* kNoImport =
    "use weights of PyTorch, safetensors or NumPy's npz: this format cannot be read";
constexpr const char* kConvert =
    "use 'vitrail convert FILE OUT.vitrail' first; info, eval, predict, export and train init=FILE take it "
    "as it is";
constexpr const char* kImage = "use 'vitrail predict RUN IMAGE': the model comes first, then the images";
constexpr const char* kUnpack = "use 'gunzip' first, if a .vitrail file was packed into it";

// Tried in this order.
constexpr std::array kForeign{
    Foreign{"it is empty, 0 bytes long", [](std::string_view b) { return b.empty(); },
            "use another checkpoint of the run: this one holds nothing to rescue"},
    Foreign{"it is a .vitrail file whose line ends were converted, as text-mode copies do",
            [](std::string_view b) {
              return b.starts_with("\x89VTL"sv) && !b.starts_with("\x89VTL\r\n\x1a\n"sv) && b.size() > 8 &&
                     (b[4] == '\n' || b.substr(4, 3) == "\r\r\n"sv);
            },
            "use the original, and copy it as binary"},
    Foreign{"it is a PyTorch file (zip)",
            [](std::string_view b) { return is_zip(b) && (holds(b, "/data.pkl") || holds(b, "/version")); },
            kConvert},
    Foreign{"it is a NumPy archive (npz)", [](std::string_view b) { return is_zip(b) && holds(b, ".npy"); },
            kConvert},
    Foreign{"it is a zip archive", is_zip, kOurs},
    Foreign{"it is a pickle, perhaps of an old PyTorch",
            [](std::string_view b) { return b.size() > 1 && b[0] == '\x80' && b[1] >= 2 && b[1] <= 5; },
            kConvert},
    Foreign{"it is a NumPy array", [](std::string_view b) { return b.starts_with("\x93NUMPY"sv); },
            kNoImport},
    Foreign{"it is a GGUF file", [](std::string_view b) { return b.starts_with("GGUF"sv); }, kNoImport},
    Foreign{"it is an HDF5 file", [](std::string_view b) { return b.starts_with("\x89HDF\r\n"sv); },
            kNoImport},
    Foreign{"it is a safetensors file", is_safetensors, kConvert},
    Foreign{"it is an ONNX file", is_onnx, "use the .vitrail file it was exported from"},
    Foreign{"it is a PNG image", [](std::string_view b) { return b.starts_with("\x89PNG\r\n"sv); }, kImage},
    Foreign{"it is a JPEG image", [](std::string_view b) { return b.starts_with("\xff\xd8\xff"sv); }, kImage},
    Foreign{"it is packed with gzip", [](std::string_view b) { return b.starts_with("\x1f\x8b"sv); },
            kUnpack},
    Foreign{"it is packed with zstd", [](std::string_view b) { return b.starts_with("\x28\xb5\x2f\xfd"sv); },
            "use 'zstd -d' first, if a .vitrail file was packed into it"},
    Foreign{"it is a tar archive",
            [](std::string_view b) { return b.size() > 262 && b.substr(257, 5) == "ustar"sv; },
            "use 'tar xf' first, if a .vitrail file was packed into it"},
    Foreign{"it is text", is_text, kOurs},
};

}  // namespace

namespace {

// The first 512 bytes, or all; nothing when there is no file to read.
std::optional<std::string> begin_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || !fs::is_regular_file(file)) return std::nullopt;
  std::string begin(512, '\0');
  in.read(begin.data(), std::ssize(begin));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  return begin;
}

const Foreign* kind_of(std::string_view begin) {
  const auto found = std::find_if(kForeign.begin(), kForeign.end(),
                                  [begin](const Foreign& foreign) { return foreign.matches(begin); });
  return found == kForeign.end() ? nullptr : &*found;
}

}  // namespace

bool is_importable(const fs::path& file) {
  if (file.string().ends_with(".safetensors.index.json")) return fs::is_regular_file(file);
  const std::optional<std::string> begin = begin_of(file);
  const Foreign* kind = begin ? kind_of(*begin) : nullptr;
  return kind != nullptr && kind->advice == kConvert;
}

void refuse_foreign(const fs::path& file) {
  const std::optional<std::string> begin = begin_of(file);
  const Foreign* kind = begin ? kind_of(*begin) : nullptr;
  if (kind == nullptr) return;
  throw format::FormatError(
      fmt::format("{}: expected a .vitrail container, but {}; {}", file.string(), kind->what, kind->advice));
}

}  // namespace vitrail::app
