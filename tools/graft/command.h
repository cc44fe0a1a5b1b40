// What the subcommands of the graft program share: exit codes, options, parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "runtime/context.h"
#include "runtime/load.h"
#include "runtime/pack_plan.h"

namespace graft {

enum ExitCode : int { kDone = 0, kCheckFailed = 1, kUsage = 2, kBadInput = 3, kOutOfResources = 4 };

// The exit code that stands for a status; prints "graft: <message>" to the standard error.
int Report(const Status& status);

// A subcommand registers its options and what to do. `action` gives the exit code.
struct Command {
  CLI::App* app;
  std::function<int()> action;
};
Command AddConvert(CLI::App& program);
Command AddRun(CLI::App& program);
Command AddBench(CLI::App& program);
Command AddInspect(CLI::App& program);
Command AddCompare(CLI::App& program);
Command AddPlan(CLI::App& program);
Command AddOps(CLI::App& program);
Command AddCalibrate(CLI::App& program);
Command AddReport(CLI::App& program);

// "a:0,b:0[1,224,224,3]": commas inside brackets belong to a shape.
std::vector<std::string> SplitNames(const std::string& text);

// "in:8x224x224x3,other:1x10": dimensions by input name; a name may be in quotes, and may be left
// out where there is one input. "x" or "X" parts dimensions.
Result<std::map<std::string, Dims>> ParseShapes(const std::string& text);

// An engine with one context on `threads` threads (0: all).
struct LoadedPlan {
  std::shared_ptr<const Engine> engine;
  std::unique_ptr<Context> context;
};
// device: as --device gives it; "" is the first one of the plan's kind, another kind an error.
Result<LoadedPlan> LoadForRun(const std::string& path, int threads, const std::string& device = "");

// An option's check: a number that is one, and not infinite.
CLI::Validator Finite();

// InvalidArgument where writing `written` would replace one of the files that are `read`, or an
// array in a folder among them. Empty paths are none.
Status CheckReplacesNone(const std::string& written, const std::vector<std::string>& read);

// What a plan has packed now, to the standard output.
void PrintPacked(const PackReport& report);

// The option --device: what to convert for, or where a plan runs.
void AddDevice(CLI::App* app, std::string* device);
void AddDeviceOfPlan(CLI::App* app, std::string* device);

// Puts dimensions that are given by name in place of an input's; where there is one input, its name
// may be left out. Fails for an input that there is none of, and for another number of dimensions.
Status SetDims(const ir::Module& module, const std::map<std::string, Dims>& shapes,
               std::vector<Dims>* dims);

// The engine's input dims: those given by name, else the first tuning point's.
Result<std::vector<Dims>> InputDims(const Engine& engine,
                                    const std::map<std::string, Dims>& shapes);

// The dims with this outermost dimension of every input; nullopt where one fixes its own, and where
// there are no inputs.
std::optional<std::vector<Dims>> AtBatch(const Engine& engine, std::vector<Dims> dims,
                                         int64_t batch);

// An engine's input from a .npy file, where quantized numbers are the integers that they are stored
// as.
Result<Tensor> ReadInput(const Binding& input, const std::string& path);

// Seeded data for inputs: floats normal, integers small, as the dtype allows.
Result<std::vector<Tensor>> RandomInputs(const Engine& engine, const std::vector<Dims>& dims,
                                         uint64_t seed);

// How far `value` is from `reference`, element by element.
struct Difference {
  double max_abs = 0;
  double mean_abs = 0;
  double max_reference = 0;  // largest |reference|
  double cosine = 1;
  bool comparable = true;  // dtype and dims agree, finite where the reference is
  double relative() const { return max_reference > 0 ? max_abs / max_reference : max_abs; }
};
Difference Compare(const Tensor& value, const Tensor& reference);

// A file name for a tensor name: "Identity:0" → "Identity", slashes and colons → "_".
std::string FileNameOf(const std::string& tensor);

}  // namespace graft
