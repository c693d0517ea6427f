// Computes graphs in the reference interpreter, for check_interpreter.py: of each case a folder with
// model.onnx and in_0.bin, in_1.bin and so on, the inputs' bytes. Writes out_0.bin and so on.
//   interpret FOLDER     with a folder for each case

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "onnx_export/interpreter.h"

namespace {

namespace fs = std::filesystem;
using namespace vitrail::onnx_export::reference;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void interpret(const fs::path& folder, Products& products) {
  const ModelParts parts = ModelParts::open(folder / "model.onnx");
  const Graph graph(parts);
  const auto budget = std::make_shared<Budget>(Limits{});
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const std::string bytes = read(folder / ("in_" + std::to_string(i) + ".bin"));
    inputs.push_back(decode_tensor(budget, graph.inputs()[i].type, graph.inputs()[i].dims,
                                   std::as_bytes(std::span(bytes)), graph.inputs()[i].name));
  }
  const std::vector<Tensor> outputs = graph.run(std::move(inputs), products, budget);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::vector<std::byte> bytes = encode_tensor(outputs[i]);
    std::ofstream file(folder / ("out_" + std::to_string(i) + ".bin"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: interpret FOLDER\n";
    return 2;
  }
  const auto backend = vitrail::make_backend("cpu");
  const auto products = backend_products(*backend);
  int failed = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(argv[1])) {
    try {
      interpret(entry.path(), *products);
    } catch (const std::exception& error) {
      std::cerr << entry.path().filename().string() << ": " << error.what() << "\n";
      ++failed;
    }
  }
  return failed > 0 ? 1 : 0;
}
