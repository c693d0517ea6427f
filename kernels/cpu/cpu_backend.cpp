#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/cpu/bulk_copy.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/measure_peak.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pages.h"
#include "kernels/error.h"

#ifdef VITRAIL_HAVE_AVX512_BF16
namespace vitrail::cpu::avx512_bf16 {
extern const OpTable kOpTable;
}
#endif
#ifdef VITRAIL_HAVE_AVX512
namespace vitrail::cpu::avx512 {
extern const OpTable kOpTable;
}
#endif
#ifdef VITRAIL_HAVE_AVX2
namespace vitrail::cpu::avx2 {
extern const OpTable kOpTable;
}
#endif
#ifdef VITRAIL_HAVE_GENERIC
namespace vitrail::cpu::generic {
extern const OpTable kOpTable;
}
#endif

namespace vitrail::cpu {
namespace {

// The first line of /proc/cpuinfo with this key, without the key; empty when there is none.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    return colon == std::string::npos ? "" : line.substr(colon + 2);
  }
  return "";
}

bool has_flag(const std::string& flag) {
  return (" " + cpuinfo("flags") + " ").find(" " + flag + " ") != std::string::npos;
}

struct IsaChoice {
  const char* name;  // as in BackendOptions
  const OpTable* ops;
  bool supported;     // by this processor
  std::string title;  // for people
};

[[maybe_unused]] bool has_avx512() {  // a build without AVX-512 has no use for it
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// What this build has, best first.
std::vector<IsaChoice> isa_choices() {
  std::vector<IsaChoice> choices;
#ifdef VITRAIL_HAVE_AVX512_BF16
  const bool dots = __builtin_cpu_supports("avx512bf16");
  choices.push_back({"avx512_bf16", &avx512_bf16::kOpTable, has_avx512() && dots,
                     has_flag("amx_tile") ? "AVX-512 (dot products, AMX)" : "AVX-512 (dot products)"});
#endif
#ifdef VITRAIL_HAVE_AVX512
  choices.push_back({"avx512", &avx512::kOpTable, has_avx512(), "AVX-512"});
#endif
#ifdef VITRAIL_HAVE_AVX2
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  choices.push_back({"avx2", &avx2::kOpTable, avx2, "AVX2"});
#endif
#ifdef VITRAIL_HAVE_GENERIC
  choices.push_back({"generic", &generic::kOpTable, true, "generic"});
#endif
  return choices;
}

IsaChoice choose_isa(const std::string& wanted) {
  std::string built;
  for (const IsaChoice& choice : isa_choices()) {
    if (wanted == "auto" && choice.supported) return choice;
    if (wanted == choice.name) {
      if (choice.supported) return choice;
      throw Error("isa = " + wanted + ": this processor (" + cpuinfo("model name") +
                  ") does not have these instructions; use isa = auto");
    }
    built += std::string(built.empty() ? "" : ", ") + choice.name;
  }
  if (wanted == "auto") {
    throw Error("this processor (" + cpuinfo("model name") +
                ") has none of the instruction sets of this build (" + built +
                "); the cpu backend needs AVX2 and FMA on x86");
  }
  throw Error("isa = " + wanted + ": expected auto or one of this build's instruction sets (" + built + ")");
}

Gemm choose_gemm(const std::string& wanted, const IsaChoice& isa) {
  if (wanted == "vitrail") return Gemm::vitrail;
  if (wanted == "eigen") return Gemm::eigen;
  if (wanted != "auto" && wanted != "onednn") {
    throw Error("gemm = " + wanted + ": expected auto, vitrail, onednn or eigen");
  }
  if (wanted == "onednn" && !have_onednn())
    throw Error("gemm = onednn: this build has no oneDNN; use gemm = vitrail, or build with it");
  // Measured on AVX2 alone: there it is the fastest.
  if (wanted == "auto" && isa.name == std::string("avx2")) return Gemm::vitrail;
  return have_onednn() ? Gemm::onednn : Gemm::eigen;
}

// Our own product of bytes is AVX2's: oneDNN's has the instructions made for it where there are some.
Gemm choose_int8(Gemm f32, const IsaChoice& isa) {
  if (f32 == Gemm::eigen) return Gemm::eigen;
  if (f32 == Gemm::vitrail && isa.name == std::string("avx2")) return Gemm::vitrail;
  return have_onednn() ? Gemm::onednn : Gemm::eigen;
}

const char* title_of(Gemm gemm) {
  return gemm == Gemm::vitrail ? "own products" : gemm == Gemm::onednn ? "oneDNN" : "Eigen";
}

bool has_dots(const IsaChoice& isa) {
  return isa.name == std::string("avx512_bf16");
}

Products choose_products(const std::string& gemm, const IsaChoice& isa) {
  Products products{.f32 = choose_gemm(gemm, isa)};
  const bool tiles = has_dots(isa) && has_flag("amx_bf16");
  // Only oneDNN knows AMX's tiles; with dot products alone our own product is the faster.
  const bool onednn = products.f32 == Gemm::onednn;
  products.onednn_bf16 = onednn && (tiles || (gemm == "onednn" && has_dots(isa)));
  products.int8 = choose_int8(products.f32, isa);
  if (products.int8 == Gemm::vitrail) products.int8_limit = kPairsLimit;
  if (products.int8 == Gemm::onednn) products.int8_limit = onednn_int8_limit();
  return products;
}

int choose_threads(int wanted) {
  constexpr int kMost = 1024;
  if (wanted < 0 || wanted > kMost) {
    throw Error("threads = " + std::to_string(wanted) + ": expected 0 (one per core) to " +
                std::to_string(kMost));
  }
  if (wanted > 0) return wanted;
  return std::max(1, static_cast<int>(usable_cores().size()));
}

std::size_t bytes_of(In view) {
  return static_cast<std::size_t>(view.shape.elements()) * size_of(view.dtype);
}

void require_bytes(const char* what, In view, std::size_t bytes) {
  if (bytes_of(view) == bytes) return;
  throw Error(std::string(what) + ": the tensor " + to_string(view.shape) + " has " +
              std::to_string(bytes_of(view)) + " bytes, the other side " + std::to_string(bytes));
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : isa_(choose_isa(options.isa)),
        context_(choose_threads(options.threads), choose_products(options.gemm, isa_), options.pin) {}

  BackendInfo info() const override {
    const std::string name = cpuinfo("model name");
    return {.device = "cpu",
            .name = name.empty() ? "unknown processor" : name,
            .isa = isa_.title,
            .gemm = title_of(context_.products().f32),
            .bf16 = bf16_title(),
            .fast_bf16 = context_.products().onednn_bf16 || has_dots(isa_),
            .threads = context_.threads()};
  }

  void zero(Out view) override { bulk_zero(context_.pool(), view.data, bytes_of(view)); }
  void copy(Out to, In from) override {
    require_bytes("copy", to, bytes_of(from));
    std::memmove(to.data, from.data, bytes_of(from));
  }
  void upload(Out to, const void* from, std::size_t bytes) override {
    require_bytes("upload", to, bytes);
    std::memcpy(to.data, from, bytes);
  }
  void download(void* to, In from, std::size_t bytes) const override {
    require_bytes("download", from, bytes);
    bulk_copy(context_.pool(), to, from.data, bytes);
  }
  DevicePeak measure_peak() override {
    // Tiles are faster than dot products, and how fast is not measured.
    return cpu::measure_peak(context_, *isa_.ops, has_dots(isa_) && !has_flag("amx_tile"));
  }
  const std::byte* host_bytes(In view) const override { return static_cast<const std::byte*>(view.data); }

 private:
  std::string bf16_title() const {
    if (context_.products().onednn_bf16) return "oneDNN";
    return has_dots(isa_) ? "dot products" : "f32 arithmetic";
  }

  std::byte* allocate(std::size_t bytes) override {
    std::byte* data = allocate_pages(bytes);
    bulk_zero(context_.pool(), data, bytes);  // all threads touch it first: so it lies in all memory nodes
    return data;
  }
  void deallocate(std::byte* data, std::size_t) noexcept override { free_pages(data); }

#define VITRAIL_OP(Op)                  \
  void execute(const Op& op) override { \
    isa_.ops->execute(context_, op);    \
  }
  VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

  IsaChoice isa_;
  mutable Context context_;  // its threads read for download() too, which changes nothing
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace vitrail::cpu
