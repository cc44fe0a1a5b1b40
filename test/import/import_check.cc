// Imports graphs and runs them on the reference backend, for tests that compare with TensorFlow.
//
//   import_check DIR
//
// DIR/cases.json lists the cases; the bytes of graphs and tensors lie in DIR/data.bin, dtypes are
// TensorFlow's numbers:
//   [{"graph": [offset, size], "outputs": ["y:0"], "run": true,
//     "inputs": [{"tensor": "x:0", "dtype": 1, "shape": [-1, 3] | null, "dims": [2, 3],
//                 "offset": 0}]}]
// What became of them goes to DIR/results.json and the outputs' bytes to DIR/results.bin:
//   [{"refused": ["y: Relu: reason"], "error": "", "outputs": [{"dtype", "dims", "offset"}]}]
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "backends/reference/evaluator.h"
#include "base/file.h"
#include "import/importer.h"

namespace graft {
namespace {

using Json = nlohmann::json;

FileBytes Part(const FileBytes& file, size_t offset, size_t size) {
  return {std::shared_ptr<const std::byte>(file.data, file.data.get() + offset), size};
}

// Runs what was imported whole; null outputs where something was refused.
Status RunCase(const Json& test, const FileBytes& data, std::ofstream* bytes, Json* result) {
  GRAFT_ASSIGN_OR_RETURN(const tf::GraphDef graph,
                         tf::ParseGraphDef(Part(data, test["graph"][0], test["graph"][1])));
  std::vector<importer::GraphInput> inputs;
  std::vector<Tensor> tensors;
  for (const Json& input : test["inputs"]) {
    GRAFT_ASSIGN_OR_RETURN(const DType dtype, tf::ParseDTypeNumber(input["dtype"]));
    tf::Shape shape = tf::Shape::Unknown();
    if (!input["shape"].is_null()) shape = {.dims = input["shape"].get<Dims>()};
    inputs.push_back({input["tensor"], dtype, std::move(shape)});
    const Dims dims = input["dims"];
    const size_t size = static_cast<size_t>(CountElements(dims)) * SizeOf(dtype);
    tensors.emplace_back(dtype, dims, Part(data, input["offset"], size).data);
  }
  GRAFT_ASSIGN_OR_RETURN(const importer::ImportedGraph imported,
                         importer::ImportGraph(graph, inputs, test["outputs"]));
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (imported.nodes[n].decision != importer::Decision::kRefused) continue;
    (*result)["refused"].push_back(fmt::format("{}: {}: {}", graph.nodes[n].name, graph.nodes[n].op,
                                               imported.nodes[n].reason));
  }
  GRAFT_RETURN_IF_ERROR(ir::Verify(imported.module));
  if (!(*result)["refused"].empty() || !test["run"]) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs,
                         reference::RunModule(imported.module, tensors));
  for (const Tensor& output : outputs) {
    (*result)["outputs"].push_back({{"dtype", static_cast<int>(output.dtype())},
                                    {"dims", output.dims()},
                                    {"offset", static_cast<int64_t>(bytes->tellp())}});
    bytes->write(reinterpret_cast<const char*>(output.raw()),
                 static_cast<std::streamsize>(output.bytes()));
  }
  return OkStatus();
}

Status Run(const std::string& folder) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes data, ReadFile(folder + "/data.bin"));
  Json cases, results = Json::array();
  std::ifstream(folder + "/cases.json") >> cases;
  std::ofstream bytes(folder + "/results.bin", std::ios::binary);
  for (const Json& test : cases) {
    Json result = {{"refused", Json::array()}, {"error", ""}, {"outputs", Json::array()}};
    if (const Status status = RunCase(test, data, &bytes, &result); !status.ok())
      result["error"] = status.ToString();
    results.push_back(std::move(result));
  }
  std::ofstream(folder + "/results.json") << results;
  return OkStatus();
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: import_check DIR\n";
    return 2;
  }
  const graft::Status status = graft::Run(argv[1]);
  if (!status.ok()) std::cerr << status.ToString() << "\n";
  return status.ok() ? 0 : 3;
}
