// Flips random bits of a large container on the disk, one after another, and has the reader find each of
// them:
//   flip_bits FOLDER [FLIPS [BLOCKS]]
// The file has the tensors of a ViT-B/16 with its AdamW moments (12 blocks: 1.02 GB). A flip in a tensor is
// found by reading the row it is in, which checks one chunk; one in the head by opening the file; one in the
// padding by full verification.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "format/container.h"

namespace {

using namespace vitrail::format;

void write_example(const std::filesystem::path& path, int blocks, std::mt19937_64& draw) {
  struct Weight {
    const char* name;
    std::vector<std::int64_t> shape;
  };
  const Weight weights[] = {{"attn.qkv.weight", {2304, 768}}, {"attn.qkv.bias", {2304}},
                            {"attn.proj.weight", {768, 768}}, {"attn.proj.bias", {768}},
                            {"mlp.fc1.weight", {3072, 768}},  {"mlp.fc1.bias", {3072}},
                            {"mlp.fc2.weight", {768, 3072}},  {"mlp.fc2.bias", {768}}};
  std::vector<std::uint64_t> numbers(std::size_t{3072} * 768 / 2);
  for (std::uint64_t& number : numbers)
    number = draw();
  ContainerContents contents;
  contents.root.set(1, "flip_bits");
  for (int block = 0; block < blocks; ++block) {
    for (const Weight& weight : weights) {
      for (Role role : {Role::parameter, Role::first_moment, Role::second_moment}) {
        const std::uint64_t bytes = *tensor_bytes(ElementType::f32, weight.shape);
        contents.tensors.push_back({"blocks." + std::to_string(block) + "." + weight.name, role,
                                    ElementType::f32, weight.shape,
                                    std::as_bytes(std::span(numbers)).first(bytes)});
      }
    }
  }
  write_container(path, contents);
}

void flip(int file, std::uint64_t byte, unsigned bit) {
  std::uint8_t value = 0;
  const auto offset = static_cast<off_t>(byte);
  if (::pread(file, &value, 1, offset) != 1) throw std::runtime_error("cannot read the file");
  value ^= static_cast<std::uint8_t>(1U << bit);
  if (::pwrite(file, &value, 1, offset) != 1) throw std::runtime_error("cannot write the file");
}

// The tensor with this byte, or null.
const TensorRecord* tensor_at(const Container& file, std::uint64_t byte) {
  for (const TensorRecord& tensor : file.tensors()) {
    if (byte >= file.offset(tensor) && byte < file.offset(tensor) + file.byte_size(tensor)) return &tensor;
  }
  return nullptr;
}

// Whether the reader refuses the file because of this byte, and names its tensor.
bool found(const std::filesystem::path& path, std::uint64_t byte) {
  std::string tensor;
  try {
    const Container file = Container::open(path);
    const TensorRecord* record = tensor_at(file, byte);
    if (record == nullptr) return file.find_damage().size() == 1;
    tensor = "tensor '" + record->name + "'";
    const std::uint64_t row = file.byte_size(*record) / static_cast<std::uint64_t>(record->shape[0]);
    std::vector<std::byte> out(row);
    file.read_rows(*record, (byte - file.offset(*record)) / row, 1, out);
    return false;
  } catch (const FormatError& error) {
    return std::string(error.what()).find(tensor) != std::string::npos;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: flip_bits FOLDER [FLIPS [BLOCKS]]\n");
    return 2;
  }
  const std::filesystem::path path = std::filesystem::path(argv[1]) / "flip_bits.vitrail";
  const int flips = argc > 2 ? std::stoi(argv[2]) : 10000, blocks = argc > 3 ? std::stoi(argv[3]) : 12;
  std::mt19937_64 draw(2024);
  write_example(path, blocks, draw);
  const auto start = std::chrono::steady_clock::now();
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  const std::uint64_t bytes = std::filesystem::file_size(path);
  int missed = 0;
  for (int i = 0; i < flips; ++i) {
    const std::uint64_t bit = draw() % (8 * bytes);
    flip(file, bit / 8, bit % 8);
    if (!found(path, bit / 8)) ++missed;
    flip(file, bit / 8, bit % 8);
  }
  ::close(file);
  const bool whole = Container::open(path).find_damage().empty();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%d bits flipped in %llu bytes, %d missed; the file is %s afterwards; %.1f s\n", flips,
              static_cast<unsigned long long>(bytes), missed, whole ? "whole" : "damaged", elapsed.count());
  std::filesystem::remove(path);
  return missed == 0 && whole ? 0 : 1;
}
