// Small clean-ups that inlining and freezing leave to do.
#pragma once

#include <map>
#include <string>

#include "tf/graph_def.h"
#include "tf/lift.h"

namespace graft::tf {

struct TidyOptions {
  bool keep_asserts = false;  // Assert and CheckNumerics stay as they are
};

struct TidyReport {
  std::map<std::string, int> removed;  // how many checks of each op
};

// Assert becomes a NoOp that checks nothing, and Print and CheckNumerics hand on their operand:
// what TF-TRT's debug stripper did to every model that it converted. Gives their number by op.
std::map<std::string, int> StripDebugOps(const TidyOptions& options, GraphDef* graph);

// Makes If, While and Case whose bodies, lifted, have no side effects (any more: an assertion is an
// If around an Assert) the stateless ops of the same meaning, for which nobody needs to wait.
void MakeStateless(const LiftedNodes& lifted, GraphDef* graph);

// Removes control edges that wait for nothing: their sources, and all those need, have no side
// effects (constants, inputs, pure arithmetic, whole loops of such, NoOps that wait for such).
// Edges that carry TF1 control flow stay: from inside of loops, and from what a Switch decides.
void DropIdleControlEdges(GraphDef* graph);

// Lets readers of an Identity of a constant read the constant.
void ReadConstantsDirectly(GraphDef* graph);

// Drops the names of gradient functions: they are registered in the process that made the model,
// and TensorFlow refuses to save a function again whose nodes name one that it does not know.
void DropGradientNames(GraphDef* graph);

// What every way into a conversion does with a graph whose calls are inlined, whose bodies are
// lifted and whose variables are frozen, before it is pruned: all of the above.
TidyReport Tidy(const TidyOptions& options, const LiftedNodes& lifted, GraphDef* graph);

// Removes colocation constraints ("loc:@NODE" in _class) with nodes that are not in the graph;
// TensorFlow would refuse to load it.
void DropDanglingColocation(GraphDef* graph);

}  // namespace graft::tf
