// The part of the C API that converts.
#include "base/aligned_buffer.h"
#include "c_api/handles.h"
#include "convert/convert_bytes.h"

namespace graft {
namespace {

// A copy of the caller's bytes, since what is read of them refers to them.
Result<FileBytes> Copy(const void* data, size_t size) {
  auto buffer = std::make_shared<AlignedBuffer>(size);
  if (!*buffer) return ResourceExhaustedError("no memory for {} bytes", size);
  std::copy_n(static_cast<const std::byte*>(data), size, buffer->data());
  const std::byte* copied = buffer->data();
  return FileBytes{std::shared_ptr<const std::byte>(std::move(buffer), copied), size};
}

// Dtype and dims of a segment's arguments.
Result<std::vector<importer::GraphInput>> Arguments(const graft_tensor* arguments, int32_t count) {
  std::vector<importer::GraphInput> inputs;
  for (int32_t i = 0; i < count; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const graft_tensor argument, TensorAt(arguments, i));
    importer::GraphInput input;
    GRAFT_ASSIGN_OR_RETURN(input.dtype, ReadDType(argument.dtype));
    GRAFT_ASSIGN_OR_RETURN(const auto dims, ReadDims(argument.dims, argument.rank));
    input.shape.dims.assign(dims.begin(), dims.end());
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace
}  // namespace graft

struct graft_calibrator {
  std::unique_ptr<graft::convert::SegmentCalibrator> calibrator;
};

graft_status* graft_convert_graph_def(const void* graph_def, size_t size, const char* options_json,
                                      graft_bytes** converted, graft_bytes** report) {
  *converted = nullptr;
  *report = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(const graft::FileBytes bytes, graft::Copy(graph_def, size));
    GRAFT_ASSIGN_OR_RETURN(
        graft::convert::ConvertedBytes result,
        graft::convert::ConvertGraphDefBytes(bytes, options_json ? options_json : ""));
    *converted = new graft_bytes{std::move(result.graph_def)};
    *report = new graft_bytes{std::move(result.report)};
    return graft::OkStatus();
  });
}

graft_status* graft_convert_model(const char* path, const char* output, const char* options_json,
                                  graft_bytes** report) {
  *report = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(std::string result, graft::convert::ConvertModelFile(
                                                   path, output, options_json ? options_json : ""));
    *report = new graft_bytes{std::move(result)};
    return graft::OkStatus();
  });
}

graft_status* graft_build_segment(const void* function_def, size_t size,
                                  const graft_tensor* arguments, int32_t argument_count,
                                  const char* options_json, graft_bytes** plan) {
  *plan = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(const graft::FileBytes bytes, graft::Copy(function_def, size));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<graft::importer::GraphInput> inputs,
                           graft::Arguments(arguments, argument_count));
    GRAFT_ASSIGN_OR_RETURN(
        std::string result,
        graft::convert::BuildSegment(bytes, inputs, options_json ? options_json : ""));
    *plan = new graft_bytes{std::move(result)};
    return graft::OkStatus();
  });
}

void graft_stop_building_segments(void) { graft::convert::StopBuildingSegments(); }

graft_status* graft_calibrator_create(const void* function_def, size_t size,
                                      const graft_tensor* arguments, int32_t argument_count,
                                      const char* options_json, graft_calibrator** calibrator) {
  *calibrator = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(const graft::FileBytes bytes, graft::Copy(function_def, size));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<graft::importer::GraphInput> inputs,
                           graft::Arguments(arguments, argument_count));
    auto made = std::make_unique<graft_calibrator>();
    GRAFT_ASSIGN_OR_RETURN(made->calibrator, graft::convert::SegmentCalibrator::Create(
                                                 bytes, inputs, options_json ? options_json : ""));
    *calibrator = made.release();
    return graft::OkStatus();
  });
}

void graft_calibrator_free(graft_calibrator* calibrator) { delete calibrator; }

graft_status* graft_calibrator_add(graft_calibrator* calibrator, const graft_tensor* arguments,
                                   int32_t argument_count) {
  return graft::Guarded([&]() -> graft::Status {
    std::vector<graft::Tensor> batch;
    for (int32_t i = 0; i < argument_count; ++i) {
      GRAFT_ASSIGN_OR_RETURN(const graft_tensor argument, graft::TensorAt(arguments, i));
      GRAFT_ASSIGN_OR_RETURN(const graft::DType dtype, graft::ReadDType(argument.dtype));
      GRAFT_ASSIGN_OR_RETURN(const auto dims, graft::ReadDims(argument.dims, argument.rank));
      GRAFT_ASSIGN_OR_RETURN(graft::Tensor tensor,
                             graft::Tensor::Allocate(dtype, {dims.begin(), dims.end()}));
      if (tensor.bytes() > 0) std::memcpy(tensor.mutable_raw(), argument.data, tensor.bytes());
      batch.push_back(std::move(tensor));
    }
    return calibrator->calibrator->Add(batch);
  });
}

graft_status* graft_calibrator_finish(const graft_calibrator* calibrator, const char* name,
                                      graft_bytes** table) {
  *table = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(std::string text, calibrator->calibrator->Finish(name ? name : ""));
    *table = new graft_bytes{std::move(text)};
    return graft::OkStatus();
  });
}

graft_status* graft_calibrator_choose(const graft_calibrator* calibrator, const char* name,
                                      const char* options_json, graft_bytes** table,
                                      graft_bytes** report) {
  *table = nullptr;
  *report = nullptr;
  return graft::Guarded([&]() -> graft::Status {
    GRAFT_ASSIGN_OR_RETURN(
        graft::convert::SegmentCalibrator::Chosen chosen,
        calibrator->calibrator->Choose(name ? name : "", options_json ? options_json : ""));
    *table = new graft_bytes{std::move(chosen.table)};
    *report = new graft_bytes{std::move(chosen.report)};
    return graft::OkStatus();
  });
}
