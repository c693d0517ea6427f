#pragma once
// How a container is written; what is in it does not depend on any of this.

#include <functional>

#include "format/tensor_record.h"

namespace vitrail::format {

struct WriteOptions {
  // Called, in the thread that writes, once a tensor's bytes have been read for the last time: from then on they
  // may change. A tensor for which it was not called when writing ends or fails will not be read either.
  std::function<void(const TensorRecord&)> on_consumed;
};

}  // namespace vitrail::format
