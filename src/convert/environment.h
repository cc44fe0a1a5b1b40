// What TF-TRT's variables ask of a conversion. They are read here and nowhere else in the library,
// once for each conversion.
#pragma once

#include "convert/convert_graph.h"

namespace graft::convert {

// Sets what the variables say: TF_TRT_OP_DENYLIST, TF_TRT_OP_FAKELIST, TF_TRT_MAX_ALLOWED_ENGINES,
// TF_TRT_SHOW_DETAILED_REPORT, TF_TRT_EXPORT_GRAPH_VIZ_PATH, TF_TRT_EXPORT_TRT_ENGINES_PATH,
// TF_TRT_EXPERIMENTAL_FEATURES; and GRAFT_EMBED_WEIGHTS, GRAFT_WEIGHTS_IN_GRAPH, GRAFT_KEEP_ASSERTS
// and GRAFT_STRICT_INT8. Options of the caller's own are set after it. kInvalidArgument for a value
// that cannot be read.
Status ApplyEnvironment(ConvertOptions* options);

}  // namespace graft::convert
