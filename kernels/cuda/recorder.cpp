#include "kernels/cuda/recorder.h"

#include <utility>

namespace vitrail::cuda {
namespace {

// Ends with its owner, whatever happens in between.
class Capture {
 public:
  explicit Capture(Context& context) : context_(context) {
    require(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), "recording ops");
    context.set_recording(true);
  }
  ~Capture() {
    end();
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  cudaGraph_t finish() {
    require(end(), "recording ops");
    return graph_;
  }

 private:
  cudaError_t end() {
    if (std::exchange(ended_, true)) return cudaSuccess;
    context_.set_recording(false);
    return cudaStreamEndCapture(context_.stream(), &graph_);
  }

  Context& context_;
  cudaGraph_t graph_ = nullptr;
  bool ended_ = false;
};

}  // namespace

Recorder::~Recorder() {
  if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
}

void Recorder::run(Context& context, const std::function<void()>& ops) {
  try {
    Capture capture(context);
    ops();
    update(capture.finish());
  } catch (const NoMemoryYet&) {
    return ops();
  }
  require(cudaGraphLaunch(exec_, context.stream()), "starting recorded ops");
}

void Recorder::update(cudaGraph_t graph) {
  if (exec_ != nullptr) {
    cudaGraphExecUpdateResultInfo result;
    if (cudaGraphExecUpdate(exec_, graph, &result) == cudaSuccess) return;
    (void)cudaGetLastError();  // other ops than before: not a fault
    require(cudaGraphExecDestroy(std::exchange(exec_, nullptr)), "forgetting recorded ops");
  }
  require(cudaGraphInstantiate(&exec_, graph, 0), "making recorded ops ready");
}

}  // namespace vitrail::cuda
