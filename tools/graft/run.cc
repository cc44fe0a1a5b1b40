// graft run: one run of a plan.
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "command.h"
#include "json_text.h"
#include "npy.h"
#include "trace_file.h"

namespace graft {
namespace {

struct RunArguments {
  std::string plan;
  std::vector<std::string> inputs;
  std::optional<uint64_t> random;
  std::string shapes;
  std::string output;
  std::string trace;
  int threads = 0;
  std::string device;
};

Status Run(const RunArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(o.plan, o.threads, o.device));
  const Engine& engine = *loaded.engine;
  std::vector<Tensor> tensors(engine.inputs().size());
  if (o.random) {
    GRAFT_ASSIGN_OR_RETURN(const auto shapes, ParseShapes(o.shapes));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Dims> dims, InputDims(engine, shapes));
    GRAFT_ASSIGN_OR_RETURN(tensors, RandomInputs(engine, dims, *o.random));
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (engine.input_default(i) != nullptr) tensors[i] = Tensor();
    }
  }
  for (const std::string& item : o.inputs) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos)
      return InvalidArgumentError("--input '{}': expected name=file.npy", item);
    GRAFT_ASSIGN_OR_RETURN(const int i, FindInput(engine.module(), item.substr(0, equals)));
    GRAFT_ASSIGN_OR_RETURN(tensors[i], ReadInput(engine.inputs()[i], item.substr(equals + 1)));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].valid() && engine.input_default(i) == nullptr) {
      return InvalidArgumentError(
          "no data for input '{}': give --input {}=file.npy or --random SEED",
          engine.inputs()[i].name, engine.inputs()[i].name);
    }
  }
  TraceRecorder recorder;
  if (!o.trace.empty()) loaded.context->Observe(&recorder);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, loaded.context->Run(tensors));
  if (!o.trace.empty())
    GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.trace, ToText(recorder.ToJson())));
  if (!o.output.empty()) {
    std::error_code error;
    std::filesystem::create_directories(o.output, error);
    if (error) return IoError("{}: {}", o.output, error.message());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = engine.outputs()[i].name;
    std::printf("%s %s\n", name.c_str(), Describe(outputs[i].dtype(), outputs[i].dims()).c_str());
    if (o.output.empty()) continue;
    GRAFT_RETURN_IF_ERROR(WriteNpy(o.output + "/" + FileNameOf(name) + ".npy", outputs[i]));
  }
  return OkStatus();
}

}  // namespace

Command AddRun(CLI::App& program) {
  auto o = std::make_shared<RunArguments>();
  CLI::App* app = program.add_subcommand("run", "Run a plan once");
  app->add_option("PLAN", o->plan, "The plan")->required();
  app->add_option("--input", o->inputs, "name=file.npy, once for each input");
  app->add_option("--random", o->random,
                  "Seed of random data for the inputs that have neither a file nor a default");
  app->add_option("--shapes", o->shapes, "Shapes of random inputs: name:1x224x224x3,…");
  app->add_option("--output", o->output, "Folder that gets one .npy for each output");
  app->add_option("--trace", o->trace, "Write the run as a trace for chrome://tracing or Perfetto");
  app->add_option("--threads", o->threads, "Threads; 0: all processors");
  AddDeviceOfPlan(app, &o->device);
  app->footer("Example:\n  graft run model.plan --input input_1=photo.npy --output out");
  return {app, [o] { return Report(Run(*o)); }};
}

}  // namespace graft
