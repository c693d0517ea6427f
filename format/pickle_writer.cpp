#include "format/pickle_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <string>

#include "format/bytes.h"
#include "format/error.h"
#include "format/pickle_globals.h"
#include "format/pickle_opcodes.h"

namespace vitrail::format {
namespace {

using pickle::Meaning;

class PickleWriter {
 public:
  explicit PickleWriter(const std::function<TensorInStorage(std::size_t)>& tensor) : tensor_(tensor) {}

  std::vector<std::byte> write(const Datum& root) {
    op(pickle::kProto);
    number<std::uint8_t>(2);
    value(root);
    op(pickle::kStop);
    return std::move(out_);
  }

 private:
  void op(std::uint8_t opcode) { append(out_, opcode); }

  template <class T>
  void number(T number) {
    append(out_, number);
  }

  void characters(std::string_view text) {
    const Bytes bytes = std::as_bytes(std::span(text));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

  void text(std::string_view text) {
    op(pickle::kUnicode);
    number(static_cast<std::uint32_t>(text.size()));
    characters(text);
  }

  void integer(std::int64_t value) {
    if (value >= 0 && value <= 0xFF) {
      op(pickle::kInt1);
      number(static_cast<std::uint8_t>(value));
    } else if (value >= 0 && value <= 0xFFFF) {
      op(pickle::kInt2);
      number(static_cast<std::uint16_t>(value));
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
      op(pickle::kInt4);
      number(static_cast<std::int32_t>(value));
    } else {
      op(pickle::kLong1);
      number<std::uint8_t>(8);
      number(value);
    }
  }

  void real(double value) {
    op(pickle::kFloat);
    const auto bits = std::bit_cast<std::uint64_t>(value);
    for (int shift = 56; shift >= 0; shift -= 8)
      number(static_cast<std::uint8_t>(bits >> shift));
  }

  // Writes what is long once, and refers to it from then on.
  template <class Write>
  void once(const std::string& what, Write&& write) {
    const auto [found, first] = memo_.try_emplace(what, static_cast<std::uint32_t>(memo_.size()));
    const std::uint32_t place = found->second;
    if (first) write();
    const bool near = place <= 0xFF;
    op(first ? (near ? pickle::kPut1 : pickle::kPut4) : (near ? pickle::kGet1 : pickle::kGet4));
    if (near)
      number(static_cast<std::uint8_t>(place));
    else
      number(place);
  }

  void global(std::string_view module, std::string_view name) {
    const std::string line = fmt::format("{}\n{}\n", module, name);
    once(line, [&] {
      op(pickle::kGlobal);
      characters(line);
    });
  }

  void tuple_end(std::size_t count) {
    constexpr std::uint8_t kShort[] = {pickle::kEmptyTuple, pickle::kTuple1, pickle::kTuple2,
                                       pickle::kTuple3};
    op(count <= 3 ? kShort[count] : std::uint8_t{pickle::kTuple});
  }

  void tuple(std::span<const std::int64_t> numbers) {
    if (numbers.size() > 3) op(pickle::kMark);
    for (const std::int64_t n : numbers)
      integer(n);
    tuple_end(numbers.size());
  }

  void storage(const TensorInStorage& tensor, bool typed) {
    op(pickle::kMark);
    once("'storage", [&] { text("storage"); });
    if (typed) {
      const pickle::Global& type = *pickle::global_of(Meaning::storage, tensor.type);
      global(type.module, type.name);
    } else {
      global("torch.storage", "UntypedStorage");
    }
    text(std::to_string(tensor.storage));
    once("'cpu", [&] { text("cpu"); });
    const auto element = static_cast<std::uint64_t>(typed ? *bits_of(tensor.type) / 8 : 1);
    integer(static_cast<std::int64_t>(tensor.storage_bytes / element));
    op(pickle::kTuple);
    op(pickle::kPersistentId);
  }

  static std::vector<std::int64_t> dense_strides(std::span<const std::int64_t> shape) {
    std::vector<std::int64_t> strides(shape.size());
    std::int64_t step = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
      strides[i] = step;
      step *= std::max<std::int64_t>(1, shape[i]);
    }
    return strides;
  }

  // storage, offset, shape, strides, requires_grad, hooks; a type without a storage of its own: dtype.
  void tensor(const TensorInStorage& tensor) {
    const bool typed = pickle::global_of(Meaning::storage, tensor.type) != nullptr;
    const pickle::Global* dtype = pickle::global_of(Meaning::dtype, tensor.type);
    if (dtype == nullptr)
      throw FormatError("an element type that torch does not have: cast the tensor first");
    global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
    op(pickle::kMark);
    storage(tensor, typed);
    integer(0);
    tuple(tensor.shape);
    tuple(dense_strides(tensor.shape));
    op(pickle::kFalse);
    global("collections", "OrderedDict");
    op(pickle::kEmptyTuple);
    op(pickle::kReduce);
    if (!typed) global(dtype->module, dtype->name);
    op(pickle::kTuple);
    op(pickle::kReduce);
  }

  void list(const Datum::List& list) {
    const std::size_t count = list.items.size();
    if (!list.tuple) op(pickle::kEmptyList);
    const bool marked = list.tuple ? count > 3 : count > 1;
    if (marked) op(pickle::kMark);
    for (const Datum& item : list.items)
      value(item);
    if (list.tuple) return tuple_end(count);
    if (count > 0) op(marked ? pickle::kAppends : pickle::kAppend);
  }

  void dict(const Datum::Dict& dict) {
    op(pickle::kEmptyDict);
    const bool marked = dict.items.size() > 1;
    if (marked) op(pickle::kMark);
    for (const Datum::Item& item : dict.items) {
      value(item.key);
      value(item.value);
    }
    if (!dict.items.empty()) op(marked ? pickle::kSetItems : pickle::kSetItem);
  }

  void value(const Datum& datum) {
    if (datum.is_none()) return op(pickle::kNone);
    if (const auto* flag = datum.as<bool>()) return op(*flag ? pickle::kTrue : pickle::kFalse);
    if (const auto* whole = datum.as<std::int64_t>()) return integer(*whole);
    if (const auto* number = datum.as<double>()) return real(*number);
    if (const auto* words = datum.as<std::string>()) return text(*words);
    if (const auto* items = datum.as<Datum::List>()) return list(*items);
    if (const auto* items = datum.as<Datum::Dict>()) return dict(*items);
    tensor(tensor_(datum.as<Datum::Tensor>()->index));
  }

  const std::function<TensorInStorage(std::size_t)>& tensor_;
  std::vector<std::byte> out_;
  std::map<std::string, std::uint32_t> memo_;
};

}  // namespace

std::vector<std::byte> write_pickle(const Datum& root,
                                    const std::function<TensorInStorage(std::size_t)>& tensor) {
  return PickleWriter(tensor).write(root);
}

}  // namespace vitrail::format
