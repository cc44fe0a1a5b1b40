// Any bytes as a frozen graph: read, inlined, tidied, its bodies lifted and lowered, written, read
// again.
#include "tf/graph_def.h"
#include "tf/inline.h"
#include "tf/lift.h"
#include "tf/opdefs.h"
#include "tf/tidy.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

// Decodes what is small: a tensor may claim any size, and filling it is not what is under test.
void DecodeConstants(const GraphDef& graph) {
  for (const NodeDef& node : graph.nodes) {
    for (const auto& [key, value] : node.attrs) {
      const auto* tensor = value.get<TensorValue>();
      if (tensor == nullptr || CountElements(tensor->dims()) > (1 << 16)) continue;
      (void)tensor->Decode().ok();
      (void)tensor->DecodeStrings().ok();
    }
  }
}

}  // namespace
}  // namespace graft::tf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;      // NOLINT(google-build-using-namespace)
  using namespace graft::tf;  // NOLINT(google-build-using-namespace)
  Result<GraphDef> graph = ParseGraphDef(CopyBytes({reinterpret_cast<const char*>(data), size}));
  if (!graph.ok()) return 0;
  DecodeConstants(*graph);
  Result<std::string> written = SerializeGraphDef(*graph);
  if (written.ok()) {
    const Result<GraphDef> again = ParseGraphDef(CopyBytes(*written));
    GRAFT_CHECK(again.ok(), "{}", again.status().message());
    GRAFT_CHECK(*SerializeGraphDef(*again) == *written, "another graph after a round trip");
  }
  AddDefaultAttrs(&*graph);
  if (!InlineCalls(&*graph).ok()) return 0;
  DropIdleControlEdges(&*graph);
  DropDanglingColocation(&*graph);
  const LiftedNodes lifted = LiftBodies({}, &*graph);
  if (LowerBodies(lifted, &*graph).ok()) (void)SerializeGraphDef(*graph).ok();
  return 0;
}
