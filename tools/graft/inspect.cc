// graft inspect: what a model, a converted model or a plan holds.
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "base/file.h"
#include "command.h"
#include "event_file.h"
#include "ir/stages.h"
#include "plan/container.h"
#include "plan_graph.h"
#include "tf/load_model.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct InspectArguments {
  std::string path;
  std::optional<std::string> tag;
  std::string signature;
  bool ir = false;
  std::string tensorboard;
  std::string graph;
};

Status InspectPlan(const InspectArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(const Plan plan, LoadPlan(o.path));
  const ir::Module& module = plan.module;
  if (!o.tensorboard.empty())
    GRAFT_RETURN_IF_ERROR(WriteGraphEvent(o.tensorboard, GraphOfPlan(plan)));
  if (!o.graph.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const std::string bytes, tf::SerializeGraphDef(GraphOfPlan(plan)));
    GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.graph, bytes));
  }
  if (o.ir) {
    GRAFT_ASSIGN_OR_RETURN(const std::string text, ir::ToText(module));
    std::fputs(text.c_str(), stdout);
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::Stages stages, ir::FindStages(module));
  std::printf("plan for backend %s, %d nodes, %zu symbols, %d stage%s\n", plan.backend.c_str(),
              module.node_count(), module.symbols.size(), stages.count,
              stages.count == 1 ? "" : "s");
  std::printf("tuned on: %s\noptions: %s\nversions: %s\nmodel: %s\n",
              plan.provenance.fingerprint.c_str(), plan.provenance.options.c_str(),
              plan.provenance.versions.c_str(), plan.provenance.model_hash.c_str());
  auto binding = [&](const char* kind, const std::string& name, const std::string& bound,
                     ir::ValueId id, const char* note) {
    const ir::Value& v = module.value(id);
    std::printf("%s %-30s %s%s  (%s)%s\n", kind, name.c_str(), std::string(Name(v.dtype)).c_str(),
                ir::ToString(v.shape).c_str(), bound.c_str(), note);
  };
  for (size_t i = 0; i < module.inputs.size(); ++i) {
    const bool has_default = i < plan.input_defaults.size() && plan.input_defaults[i].valid();
    binding("input ", module.input_names[i], InputBindingName(static_cast<int>(i)),
            module.inputs[i], has_default ? ", has a default" : "");
  }
  for (size_t i = 0; i < module.outputs.size(); ++i) {
    binding("output", module.output_names[i], OutputBindingName(static_cast<int>(i)),
            module.outputs[i], "");
  }
  for (size_t s = 0; s < module.symbols.size(); ++s) {
    const ir::Symbol& symbol = module.symbols[s];
    const std::string bound =
        symbol.upper_bound ? fmt::format(", a result, at most {}", symbol.upper_bound->ToString())
                           : "";
    std::printf("s%zu = %s%s\n", s, symbol.name.c_str(), bound.c_str());
  }
  size_t weight_bytes = 0;
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    if (module.value(id).constant) weight_bytes += module.value(id).constant->bytes();
  }
  std::printf("weights %.1f MB\n", static_cast<double>(weight_bytes) / 1e6);
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    const ir::Value& result = module.value(node.outputs[0]);
    std::string tactics;
    for (const TacticChoice& t : plan.choices.steps[id].tactics)
      tactics += (tactics.empty() ? "" : ", ") + t.name;
    std::printf("%4d %-15s %-24s %-40s %s\n", id, std::string(ir::Name(node.kind())).c_str(),
                ir::ToString(result.shape).c_str(), node.name.c_str(), tactics.c_str());
  }
  return OkStatus();
}

std::string DescribeTensor(DType dtype, const tf::Shape& shape) {
  if (shape.unknown_rank) return fmt::format("DT_{} shape: unknown_rank", TensorFlowName(dtype));
  return fmt::format("{} shape: ({})", TensorFlowName(dtype), fmt::join(shape.dims, ","));
}

Status InspectEngines(const tf::GraphDef& graph, const std::vector<tf::NodeDef>& nodes,
                      const std::string& where) {
  for (const tf::NodeDef& node : nodes) {
    if (node.op != "TRTEngineOp") continue;
    GRAFT_ASSIGN_OR_RETURN(const std::string segment, node.Attr<std::string>("serialized_segment"));
    GRAFT_ASSIGN_OR_RETURN(const tf::FuncValue native, node.Attr<tf::FuncValue>("segment_func"));
    const tf::FunctionDef* function = graph.FindFunction(native.name);
    std::printf("engine %s%s: %zu nodes in %s, plan of %zu bytes\n", node.name.c_str(),
                where.c_str(), function ? function->nodes.size() : 0, native.name.c_str(),
                segment.size());
  }
  return OkStatus();
}

Status InspectModel(const InspectArguments& o) {
  if (!o.graph.empty())
    return InvalidArgumentError("{}: --graph is for a plan: a model is a graph itself", o.path);
  tf::ModelSpec spec;
  spec.path = o.path;
  if (o.tag) spec.tags = o.tag->empty() ? std::vector<std::string>() : std::vector{*o.tag};
  if (!o.signature.empty()) spec.signature = o.signature;
  GRAFT_ASSIGN_OR_RETURN(const tf::LoadedModel model, tf::LoadModel(spec));
  for (const tf::Endpoint& t : model.inputs) {
    std::printf("inputs['%s'] tensor_info: dtype: %s name: %s\n", t.key.c_str(),
                DescribeTensor(t.dtype, t.shape).c_str(), t.tensor.c_str());
  }
  for (const tf::Endpoint& t : model.outputs) {
    std::printf("outputs['%s'] tensor_info: dtype: %s name: %s\n", t.key.c_str(),
                DescribeTensor(t.dtype, t.shape).c_str(), t.tensor.c_str());
  }
  std::map<std::string, int> histogram;
  for (const tf::NodeDef& node : model.graph.nodes) ++histogram[node.op];
  std::printf("%zu nodes after freezing, inlining and pruning\n", model.graph.nodes.size());
  for (const auto& [op, count] : histogram) std::printf("%6d %s\n", count, op.c_str());
  GRAFT_RETURN_IF_ERROR(InspectEngines(model.graph, model.graph.nodes, ""));
  for (const tf::FunctionDef& function : model.graph.functions) {
    GRAFT_RETURN_IF_ERROR(
        InspectEngines(model.graph, function.nodes, " in function " + function.signature.name));
  }
  if (!o.tensorboard.empty()) return WriteGraphEvent(o.tensorboard, model.graph);
  return OkStatus();
}

Status Run(const InspectArguments& o) {
  if (fs::is_directory(o.path)) return InspectModel(o);
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(o.path));
  if (!bytes.view().starts_with(kPlanMagic)) return InspectModel(o);
  return InspectPlan(o);
}

}  // namespace

Command AddInspect(CLI::App& program) {
  auto o = std::make_shared<InspectArguments>();
  CLI::App* app =
      program.add_subcommand("inspect", "Show what a model, a converted model or a plan holds");
  app->add_option("PATH", o->path, "A .pb, a SavedModel folder or a plan")->required();
  app->add_option("--tag", o->tag,
                  "Tag of the SavedModel's graph (serve); \"\" for a graph without tags");
  app->add_option("--signature", o->signature, "Signature of the SavedModel");
  app->add_flag("--ir", o->ir, "Print a plan's module as text");
  app->add_option("--tensorboard", o->tensorboard,
                  "Write the graph, of a plan its steps, as an event file into this folder");
  app->add_option("--graph", o->graph,
                  "Write a plan's steps as a graph that Netron shows, a .pb file");
  app->footer("Example:\n  graft inspect model.plan");
  return {app, [o] { return Report(Run(*o)); }};
}

}  // namespace graft
