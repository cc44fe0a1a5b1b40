// What graft/_op_library.py calls by ctypes.
#include <algorithm>
#include <cstdint>
#include <string>

#include "build_queue.h"
#include "calibration.h"
#include "engine_holder.h"
#include "statistics.h"

// For Python, by ctypes: copies the statistics as JSON into the buffer, cut off at `size`; returns
// the length needed.
extern "C" __attribute__((visibility("default"))) int64_t graft_tf_statistics(char* buffer,
                                                                              int64_t size) {
  const std::string json = graft_tf::Statistics::Global().ToJson();
  if (size > 0) {
    const int64_t n = std::min<int64_t>(size - 1, static_cast<int64_t>(json.size()));
    json.copy(buffer, n);
    buffer[n] = '\0';
  }
  return static_cast<int64_t>(json.size()) + 1;
}

// For Python, by ctypes: graft.trim.
extern "C" __attribute__((visibility("default"))) int64_t graft_tf_trim() {
  return graft_tf::EngineHolder::TrimAll();
}

// For Python, by ctypes, when it ends.
extern "C" __attribute__((visibility("default"))) void graft_tf_stop_work() {
  graft_tf::StopWork();
}

// For Python, by ctypes: graft.enable_tensorflow_tensorrt.
extern "C" __attribute__((visibility("default"))) void graft_tf_gather_calibration_data() {
  graft_tf::GatherCalibrationData();
}
