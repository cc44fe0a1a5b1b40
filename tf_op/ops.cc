// The ops of converted graphs, under the names and attributes that saved models of TF-TRT have.
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace graft_tf {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// The shapes that conversion found. Graphs of older converters have none.
absl::Status EngineShapes(InferenceContext* c) {
  std::vector<tensorflow::PartialTensorShape> shapes;
  if (!c->GetAttr("output_shapes", &shapes).ok() ||
      shapes.size() != static_cast<size_t>(c->num_outputs())) {
    return tensorflow::shape_inference::UnknownShape(c);
  }
  for (int i = 0; i < c->num_outputs(); ++i) {
    ShapeHandle shape;
    TF_RETURN_IF_ERROR(c->MakeShapeFromPartialTensorShape(shapes[i], &shape));
    c->set_output(i, shape);
  }
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("TRTEngineOp")
    .Input("in_tensor: InT")
    .Output("out_tensor: OutT")
    .Attr("serialized_segment: string")
    .Attr("segment_func: func = {}")
    // Wider than the old lists: Graft converts more types.
    .Attr(
        "InT: list({bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, "
        "bfloat16, float32, float64, qint8, quint8, qint16, quint16, qint32, resource})")
    .Attr(
        "OutT: list({bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, "
        "bfloat16, float32, float64, qint8, quint8, qint16, quint16, qint32})")
    .Attr("input_shapes: list(shape) = []")
    .Attr("output_shapes: list(shape) = []")
    .Attr("max_cached_engines_count: int = 1")
    .Attr("max_batch_size: int = 1")
    .Attr("workspace_size_bytes: int")
    // INT8CALIB is of 1.12 and 1.13.
    .Attr("precision_mode: {'FP32', 'FP16', 'INT8', 'INT8CALIB'}")
    .Attr("calibration_data: string = ''")
    .Attr("use_calibration: bool = true")
    .Attr("static_engine: bool = true")
    .Attr("profile_strategy: string = ''")
    .Attr("use_explicit_precision: bool = false")
    // Of graphs that earlier releases made.
    .Attr("cached_engine_batches: list(int) >= 0 = []")
    .Attr("fixed_input_size: bool = true")
    .Attr("segment_funcdef_name: string = ''")
    .SetShapeFn(EngineShapes);

REGISTER_OP("CreateTRTResourceHandle")
    .Attr("resource_name: string")
    .Output("resource_handle: resource")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape);

REGISTER_OP("InitializeTRTResource")
    .Attr("max_cached_engines_count: int = 1")
    .Input("resource_handle: resource")
    .Input("filename: string")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs);

REGISTER_OP("SerializeTRTResource")
    .Attr("delete_resource: bool = false")
    .Attr("save_gpu_specific_engines: bool = true")
    .Input("resource_name: string")
    .Input("filename: string")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs);

REGISTER_OP("GetCalibrationDataOp")
    .Input("resource_name: string")
    .Output("serialized_resource: string")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::UnknownShape);

}  // namespace graft_tf
