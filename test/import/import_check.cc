// Imports graphs and runs what became of them, for tests that compare with TensorFlow.
//
//   import_check DIR
//
// DIR/cases.json lists the cases; the bytes of graphs and tensors lie in DIR/data.bin, dtypes are
// TensorFlow's numbers:
//   [{"graph": [offset, size], "outputs": ["y:0"], "run": true,
//     "inputs": [{"tensor": "x:0", "dtype": 1, "shape": [-1, 3] | null, "dims": [2, 3],
//                 "offset": 0}],
//     "expected": [{"dtype": 1, "dims": [2, 3], "offset": 64}] | null}]
// What became of them goes to DIR/results.jsonl, a line for each, written before the next is begun:
//   {"refused": ["y: Relu: reason"], "error": "", "differs": "",
//    "outputs": [{"dtype", "dims", "offset"}]}
// With "expected", a case is run on the reference kernels and on an engine of backend cpu, and both
// must lie within the tolerances of the nodes that the graph was imported as. Without, the
// reference kernels' outputs go to DIR/results.bin.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "backend_api/host_device.h"
#include "backend_api/thread_mode.h"
#include "backend_api/tolerance.h"
#include "backends/reference/evaluator.h"
#include "base/file.h"
#include "convert/build_engine.h"
#include "import/importer.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft {
namespace {

using Json = nlohmann::json;

FileBytes Part(const FileBytes& file, size_t offset, size_t size) {
  return {std::shared_ptr<const std::byte>(file.data, file.data.get() + offset), size};
}

Result<Tensor> ReadTensor(const Json& from, const FileBytes& data) {
  GRAFT_ASSIGN_OR_RETURN(const DType dtype, tf::ParseDTypeNumber(from["dtype"]));
  const Dims dims = from["dims"];
  const size_t size = static_cast<size_t>(CountElements(dims)) * SizeOf(dtype);
  return Tensor(dtype, dims, Part(data, from["offset"], size).data);
}

// What the nodes allow together, each as if the others were exact.
Result<Tolerance> ToleranceOf(const ir::Module& module, std::span<const int64_t> symbols) {
  Tolerance sum;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, module.node(id), symbols));
    const Tolerance one = ToleranceOf(bound);
    sum.of_element += one.of_element;
    sum.of_largest += one.of_largest;
  }
  return sum;
}

std::string Compare(const std::vector<Tensor>& expected, const std::vector<Tensor>& got,
                    const Tolerance& tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) {
    // TensorFlow's Python gives quantized results as integers.
    const Tensor x = expected[i].Retyped(StorageOf(expected[i].dtype()));
    const Tensor y = got[i].Retyped(StorageOf(got[i].dtype()));
    if (x.dtype() != y.dtype() || x.dims() != y.dims()) {
      return fmt::format("output {} is {} instead of {}", i, Describe(y.dtype(), y.dims()),
                         Describe(x.dtype(), x.dims()));
    }
    const BoundValue type = {
        .dtype = x.dtype(), .dims = x.dims(), .row_stride = x.dims().empty() ? 1 : x.dims().back()};
    const std::string difference = Difference(type, tolerance, x.raw(), y.raw());
    if (!difference.empty()) return fmt::format("output {}: {}", i, difference);
  }
  return "";
}

class Case {
 public:
  static Result<Case> Read(const Json& test, const FileBytes& data) {
    Case c;
    GRAFT_ASSIGN_OR_RETURN(c.graph_,
                           tf::ParseGraphDef(Part(data, test["graph"][0], test["graph"][1])));
    for (const Json& input : test["inputs"]) {
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, ReadTensor(input, data));
      tf::Shape shape = tf::Shape::Unknown();
      if (!input["shape"].is_null()) shape = {.dims = input["shape"].get<Dims>()};
      c.inputs_.push_back({input["tensor"], tensor.dtype(), std::move(shape)});
      c.tensors_.push_back(std::move(tensor));
    }
    c.outputs_ = test["outputs"];
    return c;
  }

  // What keeps the graph from being converted whole, on either backend.
  Result<std::vector<std::string>> Import() {
    GRAFT_ASSIGN_OR_RETURN(imported_, importer::ImportGraph(graph_, inputs_, outputs_));
    GRAFT_RETURN_IF_ERROR(ir::Verify(imported_.module));
    std::vector<std::string> refusals;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (imported_.nodes[n].decision != importer::Decision::kRefused) continue;
      refusals.push_back(fmt::format("{}: {}: {}", graph_.nodes[n].name, graph_.nodes[n].op,
                                     imported_.nodes[n].reason));
    }
    return refusals;
  }

  Result<std::vector<std::string>> UnsupportedBy(std::string_view backend_name) const {
    GRAFT_ASSIGN_OR_RETURN(const Backend* const backend, FindBackend(backend_name));
    std::vector<std::string> refusals;
    const ir::Module& module = imported_.module;
    for (ir::NodeId id = 0; id < module.node_count(); ++id) {
      if (module.removed(id)) continue;
      const ir::Node& node = module.node(id);
      if (const std::optional<Refusal> refusal = backend->Supports(module, node)) {
        refusals.push_back(fmt::format("{}: {}: backend {}: {}", node.name,
                                       graph_.nodes[node.origin.front()].op, backend_name,
                                       refusal->reason));
      }
    }
    return refusals;
  }

  Result<std::vector<Tensor>> RunReference() {
    const HostDevice device;
    const ScopedThreadMode mode(device);  // as TensorFlow and engines do
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> values,
                           reference::RunModuleKeepingAll(imported_.module, tensors_, &symbols_));
    std::vector<Tensor> outputs;
    for (const ir::ValueId id : imported_.module.outputs) outputs.push_back(values[id]);
    return outputs;
  }

  Result<Tolerance> FindTolerance() const { return ToleranceOf(imported_.module, symbols_); }

  Result<std::vector<Tensor>> RunEngine(std::string_view backend_name, TimingCache* timings) const {
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(backend_name));
    convert::BuildOptions options;
    options.backend = backend_name;
    options.threads = 1;
    options.opt_level = 0;
    options.cache = timings;
    convert::EngineSource source = {.graph = &graph_, .inputs = inputs_, .outputs = outputs_};
    for (const importer::GraphInput& input : inputs_) source.input_names.push_back(input.tensor);
    source.output_names = outputs_;
    std::vector<Dims>& point = source.points.emplace_back();
    for (const Tensor& tensor : tensors_) point.push_back(tensor.dims());
    convert::StageTimes times;
    GRAFT_ASSIGN_OR_RETURN(convert::BuiltEngine built,
                           convert::BuildEngine(source, options, &times));
    GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine,
                           Engine::Create(std::move(built.plan), *backend));
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context, Context::Create(engine));
    return context->Run(tensors_);
  }

 private:
  tf::GraphDef graph_;
  std::vector<importer::GraphInput> inputs_;
  std::vector<Tensor> tensors_;
  std::vector<std::string> outputs_;
  importer::ImportedGraph imported_;
  std::vector<int64_t> symbols_;  // of the reference run
};

// What differs from TensorFlow on either backend, or "".
Result<std::string> RunOnBoth(Case& c, const Json& expected, const FileBytes& data,
                              TimingCache* timings) {
  std::vector<Tensor> wanted;
  for (const Json& output : expected) {
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, ReadTensor(output, data));
    wanted.push_back(std::move(tensor));
  }
  const Result<std::vector<Tensor>> plain = c.RunReference();
  if (!plain.ok()) return plain.status().WithContext("reference");
  GRAFT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.FindTolerance());
  if (const std::string differs = Compare(wanted, *plain, tolerance); !differs.empty())
    return "reference: " + differs;
  const Result<std::vector<Tensor>> fast = c.RunEngine("cpu", timings);
  if (!fast.ok()) return fast.status().WithContext("cpu");
  if (const std::string differs = Compare(wanted, *fast, tolerance); !differs.empty())
    return "cpu: " + differs;
  return std::string();
}

Status RunCase(const Json& test, const FileBytes& data, TimingCache* timings, std::ofstream* bytes,
               Json* result) {
  GRAFT_ASSIGN_OR_RETURN(Case c, Case::Read(test, data));
  GRAFT_ASSIGN_OR_RETURN(std::vector<std::string> refusals, c.Import());
  const bool compared = test.contains("expected");
  if (refusals.empty() && compared) {
    GRAFT_ASSIGN_OR_RETURN(refusals, c.UnsupportedBy("cpu"));
  }
  (*result)["refused"] = refusals;
  if (!refusals.empty() || !test["run"]) return OkStatus();
  if (compared) {
    GRAFT_ASSIGN_OR_RETURN((*result)["differs"], RunOnBoth(c, test["expected"], data, timings));
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, c.RunReference());
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
  Json cases;
  std::ifstream(folder + "/cases.json") >> cases;
  std::ofstream bytes(folder + "/results.bin", std::ios::binary);
  std::ofstream results(folder + "/results.jsonl");
  TimingCache timings;  // in memory: the user's stays as it is
  for (const Json& test : cases) {
    Json result = {
        {"refused", Json::array()}, {"error", ""}, {"differs", ""}, {"outputs", Json::array()}};
    if (const Status status = RunCase(test, data, &timings, &bytes, &result); !status.ok())
      result["error"] = status.ToString();
    results << result << std::endl;
  }
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
