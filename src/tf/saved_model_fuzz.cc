// Any bytes as saved_model.pb, up to the checkpoint keys of its variables.
#include "tf/inline.h"
#include "tf/opdefs.h"
#include "tf/saved_model.h"
#include "tf/variable_keys.h"
#include "tf/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;      // NOLINT(google-build-using-namespace)
  using namespace graft::tf;  // NOLINT(google-build-using-namespace)
  Result<SavedModel> model =
      ParseSavedModel(CopyBytes({reinterpret_cast<const char*>(data), size}));
  if (!model.ok()) return 0;
  for (MetaGraph& meta : model->meta_graphs) {
    (void)SelectSignature(meta, "serving_default").ok();
    AddDefaultAttrs(&meta.graph);
    if (InlineCalls(&meta.graph).ok() && meta.saver)
      (void)KeysFromRestore(meta.graph, *meta.saver).ok();
  }
  return 0;
}
