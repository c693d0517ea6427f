#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

template <class Op>
constexpr OpEntry<Op> entry() {
  return {static_cast<void (*)(Context&, const Op&)>(execute)};
}

template <class... Ops>
constexpr OpTableOf<Ops...> filled(const OpTableOf<Ops...>*) {
  return {entry<Ops>()...};
}

}  // namespace

extern const OpTable kOpTable;
constexpr OpTable kOpTable = filled(static_cast<const OpTable*>(nullptr));

}  // namespace vitrail::cpu::VITRAIL_ISA
