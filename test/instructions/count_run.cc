// Runs a plan on one thread, at last in CountedRun, for tools that count what that one takes
// (callgrind --collect-atstart=no --toggle-collect=*CountedRun*).
//
//   count_run PLAN never | watched | after
//
// Is nobody watching, is an observer, was one.
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "graft/command.h"
#include "graft/trace_file.h"

namespace graft {
namespace {

using Allocate = std::function<Result<OutputMemory>(const OutputRequest&)>;

[[gnu::noinline]] Status CountedRun(Context& context, const std::vector<TensorView>& inputs,
                                    const Allocate& allocate) {
  return context.Run(inputs, allocate);
}

Status Run(const std::string& plan, const std::string& when) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(plan, 1));
  const Engine& engine = *loaded.engine;
  Context& context = *loaded.context;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Dims> dims, InputDims(engine, {}));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, RandomInputs(engine, dims, 1));
  std::vector<TensorView> views;
  for (const Tensor& tensor : inputs) views.push_back(ViewOf(tensor));
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> outputs, context.Run(inputs));
  const Allocate allocate = [&](const OutputRequest& request) -> Result<OutputMemory> {
    return OutputMemory{outputs[request.output].mutable_raw()};
  };
  TraceRecorder recorder;
  if (when != "never") context.Observe(&recorder);
  for (int i = 0; i < 3; ++i) GRAFT_RETURN_IF_ERROR(context.Run(views, allocate));
  if (when == "after") context.Observe(nullptr);
  return CountedRun(context, views, allocate);
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("count_run PLAN never|watched|after\n", stderr), graft::kUsage;
  return graft::Report(graft::Run(argv[1], argv[2]));
}
