// graft compare: a plan's results against stored ones.
#include <cstdio>
#include <filesystem>
#include <set>

#include "command.h"
#include "npy.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string plan;
  std::string reference;
  double tolerance = 1e-4;
  int threads = 0;
};

// Cases of a folder: files CASE_in_INPUT.npy and CASE_out_OUTPUT.npy.
std::set<std::string> FindCases(const std::string& folder) {
  std::set<std::string> cases;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (const size_t at = name.find("_in_"); at != std::string::npos && name.ends_with(".npy")) {
      cases.insert(name.substr(0, at));
    }
  }
  return cases;
}

Result<bool> CompareCase(LoadedPlan& loaded, const Options& o, const std::string& name) {
  const Engine& engine = *loaded.engine;
  std::vector<Tensor> inputs;
  for (const Binding& input : engine.inputs()) {
    GRAFT_ASSIGN_OR_RETURN(Tensor t, ReadNpy(fmt::format("{}/{}_in_{}.npy", o.reference, name,
                                                         FileNameOf(input.name))));
    inputs.push_back(std::move(t));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, loaded.context->Run(inputs));
  bool passed = true;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string& output = engine.outputs()[i].name;
    GRAFT_ASSIGN_OR_RETURN(
        const Tensor reference,
        ReadNpy(fmt::format("{}/{}_out_{}.npy", o.reference, name, FileNameOf(output))));
    const Difference d = Compare(outputs[i], reference);
    const bool good = d.comparable && d.relative() <= o.tolerance;
    passed = passed && good;
    if (!d.comparable) {
      std::printf("%-20s %-40s FAILED  %s against %s, or not finite\n", name.c_str(),
                  output.c_str(), Describe(outputs[i].dtype(), outputs[i].dims()).c_str(),
                  Describe(reference.dtype(), reference.dims()).c_str());
    } else {
      std::printf("%-20s %-40s %s  max %.3g  mean %.3g  of largest %.3g  cosine %.9f\n",
                  name.c_str(), output.c_str(), good ? "PASSED" : "FAILED", d.max_abs, d.mean_abs,
                  d.relative(), d.cosine);
    }
  }
  return passed;
}

Result<bool> Run(const Options& o) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(o.plan, o.threads));
  const std::set<std::string> cases = FindCases(o.reference);
  if (cases.empty()) {
    return NotFoundError("{}: no files CASE_in_INPUT.npy there", o.reference);
  }
  bool passed = true;
  for (const std::string& name : cases) {
    GRAFT_ASSIGN_OR_RETURN(const bool good, CompareCase(loaded, o, name));
    passed = passed && good;
  }
  return passed;
}

}  // namespace

Command AddCompare(CLI::App& program) {
  auto o = std::make_shared<Options>();
  CLI::App* app = program.add_subcommand("compare", "Compare a plan's results with stored ones");
  app->add_option("PLAN", o->plan, "The plan")->required();
  app->add_option("--reference", o->reference,
                  "Folder of CASE_in_INPUT.npy and CASE_out_OUTPUT.npy files")
      ->required();
  app->add_option("--tolerance", o->tolerance,
                  "Largest error, as a share of the output's largest value");
  app->add_option("--threads", o->threads, "Threads; 0: all processors");
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
