// The CUDA kernels of the conformance cases compile for every kind of card and keep their values in
// registers. Needs the run-time compiler and no card. GRAFT_CUDA_CLASSES=all compiles every class,
// for minutes; else some of each tactic.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <regex>

#include "backends/cuda/driver.h"
#include "backends/cuda/tactics.h"
#include "base/executor.h"
#include "base/hash.h"
#include "cases.h"

namespace graft::conformance {
namespace {

constexpr int kNewest = 90;
constexpr int kKinds[] = {80, 86, 87, 89, kNewest};

// The case as a bound node and the tactics that take it.
Status Collect(const Case& c, std::span<const cuda::TacticRow> rows,
               std::map<std::string_view, std::vector<cuda::KernelClass>>* classes) {
  ir::Module module;
  std::vector<ir::ValueId> operands;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Operand& o = c.operands[i];
    operands.push_back(o.constant
                           ? module.AddConstant("constant", MakeTensor(c, static_cast<int>(i)))
                           : module.AddInput("input", o.dtype, ir::MakeShape(o.dims)));
  }
  std::vector<int64_t> symbols;
  if (std::holds_alternative<ir::ReadIntegerAttributes>(c.attributes)) {
    symbols = {-1};
    module.AddSymbol({.kind = ir::Symbol::Kind::kResultValue, .name = "node"});
  } else if (c.most_results) {
    symbols = {*c.most_results};
    module.AddSymbol({.kind = ir::Symbol::Kind::kResultDim,
                      .name = "node.0",
                      .upper_bound = ir::Dim(*c.most_results)});
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id, module.AddNode(c.attributes, operands, "node"));
  GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, module.node(id), symbols));
  for (const cuda::TacticRow& row : rows) {
    if (row.op != module.node(id).kind() || row.refuse(module, module.node(id))) continue;
    GRAFT_ASSIGN_OR_RETURN(const cuda::StepProgram program, row.plan(bound));
    for (const cuda::Launch& launch : program.launches) {
      std::vector<cuda::KernelClass>& known = classes->try_emplace(row.name).first->second;
      if (std::find(known.begin(), known.end(), launch.kernel) == known.end())
        known.push_back(launch.kernel);
    }
  }
  return OkStatus();
}

struct Job {
  const cuda::KernelClass* kernel;
  int sm;
};

// Around the call of a subroutine (a 64-bit division, an exponential in double precision) a few
// registers are saved; a loop that does not fit spills more.
constexpr int kSavedBytes = 64;

// Of the assembler's report: bytes that do not stay in registers.
int SpilledBytes(const std::string& log) {
  static const std::regex pattern("([0-9]+) bytes spill (stores|loads)");
  int bytes = 0;
  for (std::sregex_iterator i(log.begin(), log.end(), pattern), end; i != end; ++i)
    bytes += std::stoi((*i)[1]);
  return bytes;
}

TEST(CudaClasses, CompileWithoutSpills) {
  if (const auto nvrtc = cuda::OpenNvrtc(); !nvrtc.ok()) GTEST_SKIP() << nvrtc.status().message();
  std::map<std::string_view, std::vector<cuda::KernelClass>> classes;
  for (int i = 0; i + 1 < static_cast<int>(std::variant_size_v<ir::Attributes>); ++i) {
    for (const Case& c : CasesOf(static_cast<ir::OpKind>(i))) {
      const Status status = Collect(c, cuda::Tactics(), &classes);
      ASSERT_TRUE(status.ok()) << ir::AttributesToString(c.attributes) << ": " << status.ToString();
    }
  }
  const char* const asked = std::getenv("GRAFT_CUDA_CLASSES");
  const bool all = asked && std::string_view(asked) == "all";
  std::vector<Job> jobs;
  size_t total = 0;
  for (const cuda::TacticRow& row : cuda::Tactics()) {
    ASSERT_TRUE(classes.contains(row.name)) << row.name << " is used in no case";
    const std::vector<cuda::KernelClass>& known = classes[row.name];
    total += known.size();
    for (size_t i = 0; i < known.size(); ++i) {
      if (all || i == 0 || i == known.size() / 2) jobs.push_back({&known[i], kNewest});
    }
    // The kinds differ in what the assembler does, which shows in the large kernels.
    if (known.front().file != "gemm.cu" && !all) continue;
    for (const int sm : kKinds) {
      if (sm != kNewest && (row.cards <= 0 || row.cards == sm))
        jobs.push_back({&known.front(), sm});
    }
  }
  std::vector<std::string> failures(jobs.size());
  MakeTbbExecutor(0)->ParallelFor(static_cast<int64_t>(jobs.size()), [&](int64_t i, int) {
    const Result<cuda::Compiled> compiled = cuda::Compile(*jobs[i].kernel, jobs[i].sm);
    if (!compiled.ok()) {
      failures[i] = compiled.status().ToString();
    } else if (compiled->log.find("Used") == std::string::npos) {
      failures[i] = "no report of the assembler: " + compiled->log;
    } else if (const int bytes = SpilledBytes(compiled->log); bytes > kSavedBytes) {
      failures[i] = fmt::format("{} bytes spilled: {}", bytes, compiled->log);
    }
  });
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(failures[i], "") << cuda::NameOfSm(jobs[i].sm) << " " << jobs[i].kernel->file << "\n"
                               << jobs[i].kernel->text;
  }
  printf("%zu of %zu classes compiled\n", jobs.size(), total);
}

}  // namespace
}  // namespace graft::conformance
