// What a native segment says to the builder and the loader of its engine.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "graft/c_api.h"
#include "tensorflow/core/framework/function.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace graft_tf {

// The constants of a native segment, decoded when a plan asks for them. The function outlives it.
class SegmentConstants {
 public:
  explicit SegmentConstants(const tensorflow::FunctionDef* function);  // may be null: none
  // graft_find_weight_fn
  static int32_t Find(void* self, const char* name, graft_weight* weight);
  // graft_weight_at_fn
  static int32_t At(void* self, int32_t index, graft_weight* weight);

 private:
  struct Constant {
    const tensorflow::NodeDef* node;
    bool decoded = false;
    tensorflow::Tensor tensor;
    std::vector<int64_t> dims;
  };
  std::vector<Constant> constants_;
  std::map<std::string, int32_t> by_name_;
};

// Says what a native segment computes of inputs of these shapes, whatever it is called:
// TensorFlow's loaders rename functions, strip default attributes and add private ones.
std::string SegmentKey(const tensorflow::FunctionDef& function,
                       const std::vector<tensorflow::PartialTensorShape>& input_shapes);

// The option "input-shapes" of graft_build_segment and graft_calibrator_create.
nlohmann::json InputShapesOption(const std::vector<tensorflow::PartialTensorShape>& input_shapes);

}  // namespace graft_tf
