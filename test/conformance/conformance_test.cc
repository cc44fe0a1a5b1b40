// Every op × every tactic of every backend against the reference tactic, on every instruction set
// of this processor. Tactics come from the backends' own candidates: a new row of a kernels.inc is
// tested without an edit here. GRAFT_TEST_TARGET=AVX2 keeps to one instruction set,
// GRAFT_TEST_TACTIC=wgmma to tactics of such names.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "backend_api/tolerance.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cuda/cuda_backend.h"
#include "backends/reference/evaluator.h"
#include "cases.h"
#include "fake_device/fake_device_backend.h"
#include "kernels/cpu/targets.h"
#include "runner.h"

namespace graft::conformance {
namespace {

// What ran, printed at the end.
class Counts : public testing::Environment {
 public:
  void Count(std::string_view tactic, const std::string& target) {
    ++counts_[std::string(tactic)][target];
  }
  void CountUncovered(std::string_view backend, ir::OpKind op, const std::string& reason) {
    uncovered_[fmt::format("{} {}: {}", backend, ir::Name(op), reason)] += 1;
  }
  void SetAbsent(const std::string& backend, const std::string& reason) {
    absent_[backend] = reason;
  }
  void TearDown() override {
    for (const auto& [tactic, targets] : counts_) {
      std::string line = fmt::format("{:<28}", tactic);
      for (const auto& [target, count] : targets) line += fmt::format("  {} {}", target, count);
      printf("%s\n", line.c_str());
    }
    for (const auto& [reason, count] : uncovered_)
      printf("no tactic in %d cases: %s\n", count, reason.c_str());
    for (const auto& [backend, reason] : absent_)
      printf("backend %s not tested: %s\n", backend.c_str(), reason.c_str());
  }

 private:
  std::map<std::string, std::map<std::string, int>> counts_;
  std::map<std::string, int> uncovered_;
  std::map<std::string, std::string> absent_;
};
Counts& counts = *static_cast<Counts*>(testing::AddGlobalTestEnvironment(new Counts));

std::vector<std::string> CpuTargets() {
  const char* only = std::getenv("GRAFT_TEST_TARGET");
  if (only) return {only};
  return cpu::SupportedTargets();
}

// Of the tactics, those whose name contains $GRAFT_TEST_TACTIC.
bool IsAsked(const Tactic& tactic) {
  const char* const only = std::getenv("GRAFT_TEST_TACTIC");
  return !only || tactic.name().find(only) != std::string_view::npos;
}

// A backend and the instruction sets to hold it to; "" for those that have no choice.
struct Subject {
  Backend& backend;
  std::vector<std::string> targets;
};
std::vector<Subject> Subjects() {
  std::vector<Subject> subjects;
  const char* const only = std::getenv("GRAFT_TEST_BACKEND");
  const auto add = [&](Backend& backend, std::vector<std::string> targets) {
    if (!only || backend.name() == only) subjects.push_back({backend, std::move(targets)});
  };
  add(CpuBackend(), CpuTargets());
  add(FakeDeviceBackend(), {""});
  if (const Result<Backend*> cuda = CudaBackend(0); cuda.ok()) {
    add(**cuda, {""});
  } else {
    counts.SetAbsent("cuda", cuda.status().message());
  }
  return subjects;
}

// A case as a module of one node, its inputs, and what the reference makes of them.
struct Prepared {
  ir::Module module;
  ir::NodeId id = -1;
  std::vector<int64_t> symbols;
  std::vector<Tensor> inputs;
  std::vector<Tensor> expected;
  BoundNode bound;

  const ir::Node& node() const { return module.node(id); }
};

Result<Prepared> Prepare(const Case& c) {
  Prepared p;
  std::vector<ir::ValueId> operands;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Operand& o = c.operands[i];
    p.inputs.push_back(MakeTensor(c, static_cast<int>(i)));
    operands.push_back(o.constant ? p.module.AddConstant("constant", p.inputs.back())
                                  : p.module.AddInput("input", o.dtype, ir::MakeShape(o.dims)));
    if (o.fill == Fill::kAll7) p.module.value(operands.back()).low = 0;
  }
  if (std::holds_alternative<ir::ReadIntegerAttributes>(c.attributes)) {
    p.symbols = {-1};
    p.module.AddSymbol({.kind = ir::Symbol::Kind::kResultValue, .name = "node"});
  } else if (c.most_results) {
    p.symbols = {*c.most_results};
    p.module.AddSymbol({.kind = ir::Symbol::Kind::kResultDim,
                        .name = "node.0",
                        .upper_bound = ir::Dim(*c.most_results)});
  }
  GRAFT_ASSIGN_OR_RETURN(p.id, p.module.AddNode(c.attributes, operands, "node"));
  GRAFT_ASSIGN_OR_RETURN(p.expected, reference::Evaluate(p.module, p.node(), p.inputs, p.symbols));
  GRAFT_ASSIGN_OR_RETURN(p.bound, BindNode(p.module, p.node(), p.symbols));
  return p;
}

// Runs a tactic in every layout that it takes and compares each result.
void CheckTactic(const Prepared& p, const Tactic& tactic, Backend& backend,
                 const std::string& target) {
  const TacticTraits traits = tactic.Traits(p.module, p.node());
  std::vector<Layout> layouts = {{}};
  if (traits.strided_inputs || traits.strided_output) layouts.push_back({.strided = true});
  if (traits.in_place) layouts.push_back({.in_place = true});
  if (!backend.device().host_accessible()) layouts.push_back({.shifted = true});
  for (int width : {1, 2}) {
    const std::unique_ptr<Executor> executor = MakeTbbExecutor(width);
    for (const Layout& layout : layouts) {
      SCOPED_TRACE(fmt::format("{} on {}, {} wide{}{}", tactic.name(), target, width,
                               layout.strided ? ", rows apart" : "",
                               layout.in_place  ? ", in place"
                               : layout.shifted ? ", shifted"
                                                : ""));
      Result<std::vector<Tensor>> results =
          RunTactic(tactic, backend, p.module, p.node(), p.symbols, p.inputs, layout, *executor);
      if (!results.ok() && results.status().code() == StatusCode::kUnsupported && !traits.any_shape)
        return;
      ASSERT_TRUE(results.ok()) << results.status().ToString();
      const Status trimmed = reference::TrimResults(p.module, p.node(), &*results);
      ASSERT_TRUE(trimmed.ok()) << trimmed.ToString();
      for (size_t i = 0; i < results->size(); ++i) {
        ASSERT_EQ((*results)[i].dims(), p.expected[i].dims()) << "result " << i;
        BoundValue dense = p.bound.outputs[i];
        dense.dims = p.expected[i].dims();
        const Tolerance tolerance = i == 0 && !traits.exact ? ToleranceOf(p.bound) : Tolerance();
        EXPECT_EQ(Difference(dense, tolerance, p.expected[i].raw(), (*results)[i].raw()), "");
      }
    }
  }
  counts.Count(tactic.name(), target);
}

void CheckCase(const Prepared& p, ir::OpKind op, const Subject& subject) {
  Backend& backend = subject.backend;
  if (const auto refusal = backend.SupportsAsIs(p.module, p.node())) {
    return counts.CountUncovered(backend.name(), op, refusal->reason);
  }
  for (const std::string& target : subject.targets) {
    std::optional<cpu::ScopedTarget> scope;
    if (!target.empty()) scope.emplace(target);
    for (const Candidate& candidate : backend.Candidates(p.module, p.node())) {
      if (!candidate.refusal && IsAsked(*candidate.tactic))
        CheckTactic(p, *candidate.tactic, backend, target);
    }
  }
}

// What tactics generate takes long, and is kept: all of it, side by side.
void PrepareTactics(const std::vector<Prepared>& cases, Backend& backend) {
  if (backend.uses_executor()) return;
  MakeTbbExecutor(0)->ParallelFor(static_cast<int64_t>(cases.size()), [&](int64_t i, int) {
    const Prepared& p = cases[i];
    for (const Candidate& candidate : backend.Candidates(p.module, p.node())) {
      if (!candidate.refusal && IsAsked(*candidate.tactic) &&
          candidate.tactic->Traits(p.module, p.node()).prepares)
        static_cast<void>(candidate.tactic->Prepare(p.bound, nullptr));
    }
  });
}

void CheckOp(ir::OpKind op) {
  const std::vector<Case> cases = CasesOf(op);
  ASSERT_FALSE(cases.empty());
  std::vector<Prepared> prepared;
  for (const Case& c : cases) {
    Result<Prepared> p = Prepare(c);
    ASSERT_TRUE(p.ok()) << ir::AttributesToString(c.attributes) << ": " << p.status().ToString();
    prepared.push_back(std::move(p).value());
  }
  for (const Subject& subject : Subjects()) {
    PrepareTactics(prepared, subject.backend);
    for (const Prepared& p : prepared) {
      SCOPED_TRACE(ProblemString(p.bound));
      CheckCase(p, op, subject);
    }
  }
}

std::vector<ir::OpKind> EngineOps() {
  std::vector<ir::OpKind> ops;
  for (int i = 0; i + 1 < static_cast<int>(std::variant_size_v<ir::Attributes>); ++i) {
    const auto op = static_cast<ir::OpKind>(i);
    if (!(ir::Flags(op) & (ir::kOpaque | ir::kUndecided))) ops.push_back(op);
  }
  return ops;
}

class Conformance : public testing::TestWithParam<ir::OpKind> {};

TEST_P(Conformance, TacticsMatchTheReference) { CheckOp(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Ops, Conformance, testing::ValuesIn(EngineOps()),
                         [](const testing::TestParamInfo<ir::OpKind>& op) {
                           return std::string(ir::Name(op.param));
                         });

}  // namespace
}  // namespace graft::conformance
