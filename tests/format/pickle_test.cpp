// The pickle machine by itself: opcodes, limits, and that sharing costs what copying costs.

#include "format/pickle.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "format/pickle_writer.h"
#include "tests/support/format_torch_script.h"

namespace vitrail::format {
namespace {

using test::PickleScript;

Pickle read(const std::string& pickle, const PickleLimits& limits = {}) {
  return read_pickle(std::as_bytes(std::span(pickle)), "pickle", limits);
}

std::string refusal_of(const std::string& pickle, const PickleLimits& limits = {}) {
  try {
    (void)read(pickle, limits);
    return "ok";
  } catch (const FormatError& error) {
    return error.what();
  }
}

TEST_CASE("integers of every length") {
  const auto number = [](const std::string& opcode) {
    return *read(PickleScript().raw(opcode).stop()).root.as<std::int64_t>();
  };
  CHECK(number("K\xff") == 255);
  CHECK(number("M\xff\xff") == 65535);
  CHECK(number(std::string("J\0\0\0\x80", 5)) == -2147483648LL);
  CHECK(number(std::string("\x8a\0", 2)) == 0);
  CHECK(number("\x8a\x01\xff") == -1);
  CHECK(number(std::string("\x8a\x02\xff\0", 4)) == 255);
  CHECK(number("\x8a\x08" + test::little(INT64_MIN)) == INT64_MIN);
}

TEST_CASE("a message names the pickle, the byte and what was found") {
  CHECK(refusal_of(PickleScript().op('N').op('0').global("os", "system").stop()) ==
        "pickle, byte 3: opcode 0x30 (POP) is refused: torch.save does not write it");
  CHECK(refusal_of(PickleScript().op('N').global("o\ts", "sys\xfftem").stop()).find("o?s.sys?tem") !=
        std::string::npos);
  CHECK(refusal_of("N.") == "pickle, byte 0: expected a pickle of protocol 2 to begin here");
}

TEST_CASE("a container that is shared is seen as it is in the end") {
  // d = {}; l = [d, d]; d["a"] = 1 comes last.
  PickleScript script;
  script.op('}').put(0).op(']').op('(').get(0).get(0).op('e').op('\x86');
  const Pickle pickle = read(script.stop());
  const Datum::List& outer = *pickle.root.as<Datum::List>();
  CHECK(outer.items[1].as<Datum::List>()->items.size() == 2);
  PickleScript late;
  late.op(']').op('}').put(0).op('a').get(0).text("a").op('K').op('\x01').op('s').op('\x86');
  const Pickle changed = read(late.stop());
  const Datum& first = changed.root.as<Datum::List>()->items[0].as<Datum::List>()->items[0];
  CHECK(*first.find("a")->as<std::int64_t>() == 1);
}

TEST_CASE("each limit is kept") {
  PickleLimits limits;
  limits.opcodes = 5;
  CHECK(refusal_of(PickleScript().op('N').op('\x85').op('\x85').stop(), limits) == "ok");
  CHECK(refusal_of(PickleScript().op('N').op('\x85').op('\x85').op('\x85').stop(), limits)
            .find("more than 5 opcodes") != std::string::npos);
  limits = {.depth = 3};
  CHECK(refusal_of(PickleScript().op('N').raw("\x85\x85\x85").stop(), limits) == "ok");
  CHECK(refusal_of(PickleScript().op('N').raw("\x85\x85\x85\x85").stop(), limits)
            .find("nested deeper than 3") != std::string::npos);
  limits = {.memory = std::size_t{1} << 20};
  for (const char* flood : {"(", "N", ")", "]", "}", "Nq\1"}) {
    CAPTURE(flood);
    PickleScript script;
    for (int i = 0; i < 200'000; ++i)
      script.raw(flood);
    CHECK(refusal_of(script.stop(), limits).find("more than 1 MiB") != std::string::npos);
  }
  limits = {.bytes = 4};
  CHECK(refusal_of(PickleScript().op('N').stop(), limits) == "ok");
  CHECK(refusal_of(PickleScript().op('N').op('\x85').stop(), limits).find("is it whole?") !=
        std::string::npos);
}

TEST_CASE("a pickle may be followed by others") {
  CHECK(read(PickleScript().op('N').stop() + "more").bytes == 4);
}

TEST_CASE("trees come back from the writer as they went in") {
  Datum::Dict dict;
  for (const std::int64_t n : {0LL, 255LL, 256LL, 65536LL, -1LL, 1LL << 40, -(1LL << 40)})
    dict.items.push_back({n, Datum::List{{n, 0.5, true, false, "x"}, n % 2 == 0}});
  dict.items.push_back({"empty", Datum::List{}});
  dict.items.push_back({"none", Datum()});
  dict.items.push_back({"one", Datum::Dict{{{"k", Datum::List{{1}, true}}}}});
  const auto no_tensor = [](std::size_t) -> TensorInStorage { throw std::logic_error("no tensor here"); };
  const std::vector<std::byte> bytes = write_pickle(dict, no_tensor);
  const Pickle pickle = read_pickle(bytes, "pickle");
  CHECK(pickle.bytes == bytes.size());
  CHECK(write_pickle(pickle.root, no_tensor) == bytes);
  CHECK(pickle.root.as<Datum::Dict>()->items.size() == dict.items.size());
  CHECK(*pickle.root.find("one")->find("k")->as<Datum::List>()->items[0].as<std::int64_t>() == 1);
}

TEST_CASE("tensors come back with their types, also those without a storage type of their own") {
  const std::vector<std::int64_t> shape{2, 3};
  for (const ElementType type : {ElementType::f32, ElementType::bf16, ElementType::boolean,
                                 ElementType::f8_e4m3fn, ElementType::u32, ElementType::c128}) {
    const std::uint64_t bytes = 6 * static_cast<std::uint64_t>(*bits_of(type)) / 8;
    const Pickle pickle = read_pickle(write_pickle(Datum::Tensor{0},
                                                   [&](std::size_t) {
                                                     return TensorInStorage{type, shape, 4, bytes};
                                                   }),
                                      "pickle");
    REQUIRE(pickle.tensors.size() == 1);
    CHECK(pickle.tensors[0].type == type);
    CHECK(pickle.tensors[0].shape == shape);
    CHECK(pickle.tensors[0].strides == std::vector<std::int64_t>{3, 1});
    CHECK(pickle.storages[0].key == "4");
    CHECK(pickle.storages[0].bytes == static_cast<std::int64_t>(bytes));
  }
}

}  // namespace
}  // namespace vitrail::format
