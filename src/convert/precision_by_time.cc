#include "convert/precision_by_time.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "convert/min_cut.h"
#include "passes/rewrite.h"
#include "quant/range_rules.h"
#include "runtime/backend_table.h"

namespace graft::convert {
namespace {

constexpr double kAlways = std::numeric_limits<double>::infinity();

// What takes integers where they come, beside products (passes/quantize.cc).
bool TakesEither(const ir::Node& node) {
  return quant::SharesScale(node) || node.kind() == ir::OpKind::kConcat || quant::IsAverage(node);
}

// An engine's steps and how long they took.
struct Timed {
  ir::Module fused;  // before anything was quantised
  ir::Module module;
  std::vector<TuningPoint> points;
  std::vector<double> microseconds;  // by node of `module`; NaN: not known
};

Result<Timed> Build(const EngineSource& source, const BuildOptions& options) {
  Timed timed;
  BuildOptions build = options;
  build.time_all = true;
  build.dump_directory.clear();
  build.on_fused = [&](ir::Module& module) {
    timed.fused = module;
    return OkStatus();
  };
  StageTimes times;
  GRAFT_ASSIGN_OR_RETURN(BuiltEngine built, BuildEngine(source, build, &times));
  timed.module = std::move(built.plan.module);
  timed.points = std::move(built.plan.choices.points);
  timed.microseconds = std::move(built.tune.step_microseconds);
  return timed;
}

// By node of the fused module, the time of the steps that it became. A step that covers several
// counts for those that are what it is, each with the same share.
std::vector<double> TimesByNode(const Timed& timed, const ir::Module& fused) {
  std::map<int32_t, std::vector<ir::NodeId>> by_origin;
  std::map<std::string, ir::NodeId> by_name;
  for (ir::NodeId id = 0; id < fused.node_count(); ++id) {
    if (fused.removed(id)) continue;
    by_name.emplace(fused.node(id).name, id);
    for (const int32_t origin : fused.node(id).origin) by_origin[origin].push_back(id);
  }
  std::vector<double> times(fused.node_count(), 0);
  for (ir::NodeId id = 0; id < timed.module.node_count(); ++id) {
    const ir::Node& node = timed.module.node(id);
    // What is read where it lies takes no time.
    if (timed.module.value(node.outputs[0]).view && node.get<ir::SliceAttributes>()) continue;
    std::vector<ir::NodeId> covered;
    std::string name = node.name;
    if (node.origin.empty() && name.find_last_of('/') != std::string::npos) {
      // Casts around an average belong to it; others stand where values cross.
      const std::string last = name.substr(name.find_last_of('/'));
      if (last == "/widen" || last == "/scale") name.resize(name.size() - last.size());
    }
    if (const auto same = by_name.find(name); same != by_name.end()) {
      covered.push_back(same->second);
    } else {
      for (const bool same_kind : {true, false}) {
        if (!covered.empty()) break;
        for (const int32_t origin : node.origin) {
          for (const ir::NodeId of : by_origin[origin]) {
            if (same_kind && fused.node(of).kind() != node.kind()) continue;
            if (std::ranges::find(covered, of) == covered.end()) covered.push_back(of);
          }
        }
      }
    }
    for (const ir::NodeId of : covered)
      times[of] += timed.microseconds[id] / static_cast<double>(covered.size());
  }
  return times;
}

// To integers and back, by the dimensions of values.
class Casts {
 public:
  static Result<Casts> Measure(const std::set<Dims>& all, const BuildOptions& options) {
    GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(options.backend, options.device));
    Casts casts;
    ir::Module module;
    const DType floats = options.halves ? DType::kFloat16 : DType::kFloat32;
    for (const Dims& dims : all) {
      const ir::ValueId x = module.AddInput("x", floats, ir::MakeShape(dims));
      const bool halves = floats == DType::kFloat16;
      PointwiseProgram quantize{1, {}};
      int q = halves ? quantize.Add(PointwiseOp::kCast, DType::kFloat32, 0) : 0;
      q = quantize.Add(PointwiseOp::kMul, DType::kFloat32, q,
                       quantize.Add({PointwiseOp::kConstant, DType::kFloat32, {-1, -1, -1}, 21}));
      q = quantize.Add(PointwiseOp::kRound, DType::kFloat32, q);
      q = quantize.Add({PointwiseOp::kClamp, DType::kFloat32, {q, -1, -1}, -127, 127});
      quantize.Add(PointwiseOp::kCast, DType::kInt8, q);
      GRAFT_ASSIGN_OR_RETURN(
          const ir::NodeId to,
          module.AddNode(ir::PointwiseAttributes{std::move(quantize)}, {x}, "quantize"));
      PointwiseProgram dequantize{1, {}};
      dequantize.Add({PointwiseOp::kCast, DType::kFloat32, {0, -1, -1}});
      dequantize.Add({PointwiseOp::kConstant, DType::kFloat32, {-1, -1, -1}, 0.05});
      dequantize.Add({PointwiseOp::kMul, DType::kFloat32, {1, 2, -1}});
      if (halves) dequantize.Add({PointwiseOp::kCast, floats, {3, -1, -1}});
      GRAFT_ASSIGN_OR_RETURN(const ir::NodeId back,
                             module.AddNode(ir::PointwiseAttributes{std::move(dequantize)},
                                            {module.node(to).outputs[0]}, "dequantize"));
      module.outputs.push_back(module.node(back).outputs[0]);
      module.output_names.emplace_back("y");
      module.input_names.emplace_back("x");
    }
    TuneOptions tune;
    const std::shared_ptr<Executor> executor =
        MakeTbbExecutor(backend->uses_executor() ? options.threads : 1);
    tune.threads = executor->width();
    tune.opt_level = options.opt_level;
    tune.time_all = true;
    tune.stopped = options.stopped;
    TuneReport report;
    GRAFT_RETURN_IF_ERROR(
        Tune(module, *backend, {TuningPoint()}, tune, *options.cache, &report).status());
    size_t at = 0;
    for (const Dims& dims : all) {
      casts.times_[dims] = {report.step_microseconds[at], report.step_microseconds[at + 1]};
      at += 2;
    }
    return casts;
  }
  // Microseconds there, and back.
  std::pair<double, double> of(const Dims& dims) const { return times_.at(dims); }

 private:
  std::map<Dims, std::pair<double, double>> times_;
};

}  // namespace

Result<PrecisionByTime> PrecisionByTime::Measure(const EngineSource& source,
                                                 const BuildOptions& options,
                                                 const std::vector<std::string>& products) {
  PrecisionByTime result;
  // Of a kind of card nothing can be timed.
  if (options.opt_level == 0 || IsTarget(options.backend) || products.empty()) return result;
  GRAFT_ASSIGN_OR_RETURN(const Timed on_integers, Build(source, options));
  BuildOptions floats = options;
  for (const std::string& product : products) floats.int8.floats[product] = "for comparison";
  GRAFT_ASSIGN_OR_RETURN(const Timed in_floats, Build(source, floats));
  const ir::Module& fused = on_integers.fused;
  const std::vector<double> integer_times = TimesByNode(on_integers, fused);
  const std::vector<double> float_times = TimesByNode(in_floats, fused);

  std::vector<int> place(fused.node_count(), -1);  // in nodes_
  for (ir::NodeId id = 0; id < fused.node_count(); ++id) {
    if (fused.removed(id)) continue;
    const ir::Node& node = fused.node(id);
    const bool is_product = std::ranges::find(products, node.name) != products.end();
    const bool known = std::isfinite(integer_times[id]) && std::isfinite(float_times[id]);
    if (!known || !(is_product || TakesEither(node))) continue;
    place[id] = static_cast<int>(result.nodes_.size());
    result.nodes_.push_back({is_product ? node.name : "", {integer_times[id], float_times[id]}});
    if (is_product) result.times_[node.name] = result.nodes_.back().time;
  }
  const ir::Uses uses(fused);
  std::vector<ir::ValueId> crossing_values;  // by value of result.values_
  for (ir::ValueId v = 0; v < fused.value_count(); ++v) {
    const ir::Value& value = fused.value(v);
    if (value.constant || value.dtype != DType::kFloat32 || !value.quantization) continue;
    Value crossing;
    crossing.producer = value.producer < 0 ? -1 : place[value.producer];
    for (const ir::NodeId reader : uses.of(v)) crossing.readers.push_back(place[reader]);
    // What no product reads as integers is written as floats anyhow.
    const bool crosses = std::ranges::any_of(crossing.readers, [](int r) { return r >= 0; });
    if (!crosses) continue;
    if (uses.is_output(v)) crossing.readers.push_back(-1);
    result.values_.push_back(std::move(crossing));
    crossing_values.push_back(v);
  }
  std::set<Dims> all;
  std::vector<std::vector<Dims>> dims;  // by point
  for (const TuningPoint& point : on_integers.points) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<BoundValue> bound,
                           BindValues(fused, point.symbols, [&](ir::ValueId v) {
                             return std::ranges::binary_search(crossing_values, v);
                           }));
    std::vector<Dims>& at_point = dims.emplace_back();
    for (const ir::ValueId v : crossing_values) at_point.push_back(bound[v].dims);
    all.insert(at_point.begin(), at_point.end());
  }
  GRAFT_ASSIGN_OR_RETURN(const Casts casts, Casts::Measure(all, options));
  for (const std::vector<Dims>& at_point : dims) {
    for (size_t i = 0; i < result.values_.size(); ++i) {
      const auto [quantize, dequantize] = casts.of(at_point[i]);
      if (std::isfinite(quantize)) result.values_[i].quantize += quantize;
      if (std::isfinite(dequantize)) result.values_[i].dequantize += dequantize;
    }
  }
  return result;
}

// The source's side is in floats.
std::set<std::string> PrecisionByTime::Floats(const std::set<std::string>& floats) const {
  MinCut cut;
  std::vector<int> at;
  for (const Node& node : nodes_) {
    at.push_back(cut.AddNode());
    const bool must = floats.contains(node.product);
    cut.Connect(at.back(), MinCut::kSink, node.time.floats);
    cut.Connect(MinCut::kSource, at.back(), must ? kAlways : node.time.integers);
  }
  const auto side_of = [&](int node) { return node < 0 ? MinCut::kSource : at[node]; };
  for (const Value& value : values_) {
    // One cast serves all readers: a node on the integers' side when one of them is, another on the
    // floats' side when one of them is.
    const int as_integers = cut.AddNode();
    const int as_floats = cut.AddNode();
    for (const int reader : value.readers) {
      cut.Connect(as_integers, side_of(reader), kAlways);
      cut.Connect(side_of(reader), as_floats, kAlways);
    }
    cut.Connect(side_of(value.producer), as_integers, value.quantize);
    cut.Connect(as_floats, side_of(value.producer), value.dequantize);
  }
  const std::vector<bool> side = cut.Solve();
  std::set<std::string> chosen = floats;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].product.empty() && side[at[i]]) chosen.insert(nodes_[i].product);
  }
  return chosen;
}

}  // namespace graft::convert
