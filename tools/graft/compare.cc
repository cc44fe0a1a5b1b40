// graft compare: a plan's results against stored ones, or against the model it was made of, run
// node by node on the reference kernels without any optimisation.
#include <algorithm>
#include <cstdio>

#include "backends/reference/evaluator.h"
#include "command.h"
#include "convert/input_defaults.h"
#include "import/importer.h"
#include "reference_cases.h"
#include "tf/load_model.h"

namespace graft {
namespace {

struct CompareArguments {
  std::vector<std::string> paths;  // [MODEL] PLAN
  std::string reference;
  tf::ModelSpec model;
  std::string shapes;
  uint64_t seed = 1;
  double tolerance = 1e-4;
  int threads = 0;
  std::string device;
};

// Prints one line; whether the output is good enough.
bool Judge(const CompareArguments& o, const std::string& name, const std::string& output,
           const Tensor& value, const Tensor& reference) {
  const Difference d = Compare(value, reference);
  const bool good = d.comparable && d.relative() <= o.tolerance;
  if (!d.comparable) {
    std::printf("%-20s %-40s FAILED  %s against %s, or not finite\n", name.c_str(), output.c_str(),
                Describe(value.dtype(), value.dims()).c_str(),
                Describe(reference.dtype(), reference.dims()).c_str());
  } else {
    std::printf("%-20s %-40s %s  max %.3g  mean %.3g  of largest %.3g  cosine %.9f\n", name.c_str(),
                output.c_str(), good ? "PASSED" : "FAILED", d.max_abs, d.mean_abs, d.relative(),
                d.cosine);
  }
  return good;
}

Result<bool> CompareWithFolder(const CompareArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(o.paths.back(), o.threads, o.device));
  const Engine& engine = *loaded.engine;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> cases, FindReferenceCases(o.reference));
  bool passed = true;
  for (const std::string& name : cases) {
    GRAFT_ASSIGN_OR_RETURN(const ReferenceCase stored,
                           ReadReferenceCase(o.reference, name, engine));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, loaded.context->Run(stored.inputs));
    for (size_t i = 0; i < outputs.size(); ++i) {
      passed = Judge(o, name, engine.outputs()[i].name, outputs[i], stored.outputs[i]) && passed;
    }
  }
  return passed;
}

Result<bool> CompareWithModel(const CompareArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(o.paths[1], o.threads, o.device));
  const Engine& engine = *loaded.engine;
  tf::ModelSpec spec = o.model;
  spec.path = o.paths[0];
  GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(spec));
  std::vector<importer::GraphInput> inputs;
  std::vector<std::string> outputs;
  std::vector<int> plan_inputs, plan_outputs;  // positions in the plan of the model's
  for (const tf::Endpoint& input : model.inputs) {
    inputs.push_back({input.tensor, input.dtype, input.shape});
    GRAFT_ASSIGN_OR_RETURN(const int at, FindInput(engine.module(), input.key));
    plan_inputs.push_back(at);
  }
  for (const tf::Endpoint& output : model.outputs) {
    outputs.push_back(output.tensor);
    GRAFT_ASSIGN_OR_RETURN(const int at, FindOutput(engine.module(), output.key));
    plan_outputs.push_back(at);
  }
  GRAFT_ASSIGN_OR_RETURN(
      importer::ImportedGraph imported,
      importer::ImportGraph(model.graph, inputs, outputs, {.take_defaults = true}));
  GRAFT_RETURN_IF_ERROR(imported.module.Compact());
  GRAFT_ASSIGN_OR_RETURN(const auto shapes, ParseShapes(o.shapes));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Dims> dims, InputDims(engine, shapes));
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> data, RandomInputs(engine, dims, o.seed));
  std::vector<std::string> tensors;
  for (const tf::Endpoint& input : model.inputs) tensors.push_back(input.tensor);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> defaults,
                         convert::InputDefaults(model.graph, tensors));
  for (size_t at = 0; at < data.size(); ++at) {
    const bool is_fed = std::ranges::find(plan_inputs, static_cast<int>(at)) != plan_inputs.end();
    if (!is_fed && engine.input_default(at) != nullptr) data[at] = Tensor();
  }
  std::vector<Tensor> model_data;
  for (size_t i = 0; i < plan_inputs.size(); ++i) {
    // What has a default is run with it, each with its own.
    const int at = plan_inputs[i];
    const bool is_default = defaults[i].valid() && engine.input_default(at) != nullptr;
    model_data.push_back(is_default ? defaults[i] : data[at]);
    if (is_default) data[at] = Tensor();
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> expected,
                         reference::RunModule(imported.module, model_data));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> results, loaded.context->Run(data));
  bool passed = true;
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string& name = model.outputs[i].key;
    passed = Judge(o, "random", name, results[plan_outputs[i]], expected[i]) && passed;
  }
  return passed;
}

Result<bool> Run(const CompareArguments& o) {
  const size_t wanted = o.reference.empty() ? 2 : 1;
  if (o.paths.size() != wanted) {
    return InvalidArgumentError("give MODEL and PLAN, or PLAN and --reference");
  }
  return o.reference.empty() ? CompareWithModel(o) : CompareWithFolder(o);
}

}  // namespace

Command AddCompare(CLI::App& program) {
  auto o = std::make_shared<CompareArguments>();
  CLI::App* app =
      program.add_subcommand("compare", "Compare a plan with its model, or with stored results");
  app->add_option("PATHS", o->paths, "MODEL PLAN, or PLAN with --reference")
      ->required()
      ->expected(1, 2);
  app->add_option("--reference", o->reference,
                  "Folder of CASE_in_INPUT.npy and CASE_out_OUTPUT.npy files");
  app->add_option("--shapes", o->shapes, "Shapes of the random inputs: name:1x224x224x3,…");
  app->add_option("--seed", o->seed, "Seed of the random inputs");
  app->add_option("--signature", o->model.signature, "Signature of a SavedModel");
  app->add_option("--tolerance", o->tolerance,
                  "Largest error, as a share of the output's largest value")
      ->check(Finite());
  app->add_option("--threads", o->threads, "Threads; 0: all processors");
  AddDeviceOfPlan(app, &o->device);
  app->footer(
      "Example:\n  graft compare model.plan --reference model/\nExits with 1 when an output is "
      "off.");
  return {app, [o]() -> int {
            Result<bool> passed = Run(*o);
            if (!passed.ok()) return Report(passed.status());
            return *passed ? kDone : kCheckFailed;
          }};
}

}  // namespace graft
