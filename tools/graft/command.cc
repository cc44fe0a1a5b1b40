#include "command.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

#include "base/dtype_visit.h"
#include "npy.h"
#include "runtime/backend_table.h"

namespace graft {

int Report(const Status& status) {
  if (status.ok()) return kDone;
  std::fprintf(stderr, "graft: %s\n", status.message().c_str());
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
      return kUsage;
    case StatusCode::kResourceExhausted:
      return kOutOfResources;
    default:
      return kBadInput;
  }
}

std::vector<std::string> SplitNames(const std::string& text) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (char c : text) {
    depth += c == '[' ? 1 : c == ']' ? -1 : 0;
    if (c == ',' && depth == 0) {
      if (!part.empty()) parts.push_back(std::move(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (!part.empty()) parts.push_back(std::move(part));
  return parts;
}

Result<std::map<std::string, Dims>> ParseShapes(const std::string& text) {
  std::map<std::string, Dims> shapes;
  std::string_view rest = text;
  auto bad = [&] {
    return InvalidArgumentError("shapes '{}': expected name:NxHxWxC, comma separated", text);
  };
  while (!rest.empty()) {
    std::string name;
    size_t colon;
    if (rest[0] == '"' || rest[0] == '\'') {
      const size_t end = rest.find(rest[0], 1);
      if (end == std::string_view::npos) return bad();
      name = rest.substr(1, end - 1);
      colon = end + 1;
      if (colon >= rest.size() || rest[colon] != ':') return bad();
    } else {
      // Tensor names may end in ":0": the dimensions come after the last colon before the next
      // comma.
      const std::string_view item = rest.substr(0, rest.find(','));
      colon = item.rfind(':');
      if (colon == std::string_view::npos)
        colon = static_cast<size_t>(-1);
      else
        name = item.substr(0, colon);
    }
    rest.remove_prefix(colon + 1);
    Dims dims;
    while (true) {
      int64_t d = 0;
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), d);
      if (error != std::errc() || d < 0) return bad();
      dims.push_back(d);
      rest.remove_prefix(end - rest.data());
      if (rest.starts_with('x') || rest.starts_with('X'))
        rest.remove_prefix(1);
      else
        break;
    }
    shapes[name] = std::move(dims);
    if (rest.empty()) break;
    if (rest[0] != ',') return bad();
    rest.remove_prefix(1);
  }
  return shapes;
}

CLI::Validator Finite() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        double number = 0;
        const bool is_one = CLI::detail::lexical_cast(text, number) && std::isfinite(number);
        return is_one ? "" : fmt::format("'{}' is no finite number", text);
      },
      "");
}

Status CheckReplacesNone(const std::string& written, const std::vector<std::string>& read) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (written.empty() || !fs::exists(written, ignored)) return OkStatus();
  const fs::path file = fs::canonical(written, ignored);
  for (const std::string& path : read) {
    if (path.empty()) continue;
    if (fs::equivalent(file, path, ignored) ||
        (file.extension() == ".npy" && fs::equivalent(file.parent_path(), path, ignored)))
      return InvalidArgumentError("{}: that would replace what is read from {}", written, path);
  }
  return OkStatus();
}

void PrintPacked(const PackReport& report) {
  std::printf("packed the weights of %d nodes for %s: %.1f MB\n", report.nodes,
              report.target.c_str(), static_cast<double>(report.bytes) / 1e6);
}

void AddDevice(CLI::App* app, std::string* device) {
  app->add_option("--device", *device,
                  "cpu, cuda (the first card), cuda:N; a kind of card to convert for: cuda:sm_90");
}

void AddDeviceOfPlan(CLI::App* app, std::string* device) {
  app->add_option("--device", *device,
                  "Which one of the plan's kind runs it: cuda:1; the first one else");
}

Result<LoadedPlan> LoadForRun(const std::string& path, int threads, const std::string& device) {
  GRAFT_ASSIGN_OR_RETURN(const DeviceName name, ParseDeviceName(device));
  std::shared_ptr<Executor> executor = MakeTbbExecutor(threads);
  LoadOptions options;
  options.engine.executor = executor.get();
  options.backend = name.backend;
  options.device = name.device;
  LoadedPlan loaded;
  GRAFT_ASSIGN_OR_RETURN(loaded.engine, LoadEngine(path, options));
  ContextOptions context;
  context.executor = std::move(executor);
  GRAFT_ASSIGN_OR_RETURN(loaded.context, Context::Create(loaded.engine, std::move(context)));
  return loaded;
}

Status SetDims(const ir::Module& module, const std::map<std::string, Dims>& shapes,
               std::vector<Dims>* dims) {
  for (const auto& [name, given] : shapes) {
    int input = 0;
    if (!name.empty() || dims->size() != 1) {
      GRAFT_ASSIGN_OR_RETURN(input, FindInput(module, name));
    }
    if (given.size() != (*dims)[input].size()) {
      return InvalidArgumentError("input {} has {} dimensions, not {}", module.input_names[input],
                                  (*dims)[input].size(), given.size());
    }
    (*dims)[input] = given;
  }
  return OkStatus();
}

Result<std::vector<Dims>> InputDims(const Engine& engine,
                                    const std::map<std::string, Dims>& shapes) {
  std::vector<Dims> all;
  for (const Binding& input : engine.inputs()) {
    Dims dims;
    for (const ir::Dim& d : input.shape) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t n, d.Evaluate(engine.choices().points[0].symbols));
      dims.push_back(n);
    }
    all.push_back(std::move(dims));
  }
  GRAFT_RETURN_IF_ERROR(SetDims(engine.module(), shapes, &all));
  return all;
}

std::optional<std::vector<Dims>> AtBatch(const Engine& engine, std::vector<Dims> dims,
                                         int64_t batch) {
  for (size_t i = 0; i < dims.size(); ++i) {
    const ir::Shape& shape = engine.inputs()[i].shape;
    if (shape.empty() || shape[0].is_constant()) return std::nullopt;
    dims[i][0] = batch;
  }
  if (dims.empty()) return std::nullopt;
  return dims;
}

Result<Tensor> ReadInput(const Binding& input, const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(Tensor tensor, ReadNpy(path));
  return tensor.dtype() == StorageOf(input.dtype) ? tensor.Retyped(input.dtype) : tensor;
}

Result<std::vector<Tensor>> RandomInputs(const Engine& engine, const std::vector<Dims>& dims,
                                         uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < dims.size(); ++i) {
    const Binding& input = engine.inputs()[i];
    GRAFT_ASSIGN_OR_RETURN(Tensor t, Tensor::Allocate(input.dtype, dims[i]));
    if (input.dtype == DType::kFloat32) {
      for (float& x : t.mutable_data<float>()) x = normal(random);
    } else if (IsInteger(StorageOf(input.dtype)) || input.dtype == DType::kBool) {
      // Little-endian elements of any width: a small number in the lowest byte.
      const size_t size = SizeOf(input.dtype);
      const int limit = input.dtype == DType::kBool ? 2 : 100;
      std::byte* raw = t.mutable_raw();
      std::fill(raw, raw + t.bytes(), std::byte{0});
      for (int64_t k = 0; k < t.elements(); ++k)
        raw[k * size] = static_cast<std::byte>(random() % limit);
    } else {
      return UnsupportedError("{}: no random data for dtype {}; give a file with --input",
                              input.name, Name(input.dtype));
    }
    tensors.push_back(std::move(t));
  }
  return tensors;
}

namespace {

// Element i as a double; nullopt for dtypes that compare bitwise only.
std::optional<double> Element(const Tensor& t, int64_t i) {
  return TryVisitDType(kEngineTypes, t.dtype(), [&]<class T>(T) -> std::optional<double> {
    return static_cast<double>(t.data<T>()[i]);
  });
}

}  // namespace

Difference Compare(const Tensor& given, const Tensor& wanted) {
  // A file holds quantized numbers as integers.
  const Tensor value = given.Retyped(StorageOf(given.dtype()));
  const Tensor reference = wanted.Retyped(StorageOf(wanted.dtype()));
  Difference d;
  d.comparable = value.dtype() == reference.dtype() && value.dims() == reference.dims();
  if (!d.comparable) return d;
  double sum = 0, dot = 0, norm_a = 0, norm_b = 0;
  for (int64_t i = 0; i < reference.elements(); ++i) {
    const std::optional<double> a = Element(value, i), b = Element(reference, i);
    if (!a || !b) {
      d.comparable = BitwiseEqual(value, reference);
      return d;
    }
    if (!std::isfinite(*b)) {
      if (!(*a == *b || (std::isnan(*a) && std::isnan(*b)))) d.comparable = false;
      continue;
    }
    if (!std::isfinite(*a)) {
      d.comparable = false;
      continue;
    }
    const double error = std::abs(*a - *b);
    d.max_abs = std::max(d.max_abs, error);
    d.max_reference = std::max(d.max_reference, std::abs(*b));
    sum += error;
    dot += *a * *b;
    norm_a += *a * *a;
    norm_b += *b * *b;
  }
  if (reference.elements() > 0) d.mean_abs = sum / static_cast<double>(reference.elements());
  if (norm_a > 0 && norm_b > 0) d.cosine = dot / std::sqrt(norm_a * norm_b);
  return d;
}

std::string FileNameOf(const std::string& tensor) {
  std::string name = tensor.ends_with(":0") ? tensor.substr(0, tensor.size() - 2) : tensor;
  for (char& c : name) {
    if (c == '/' || c == ':') c = '_';
  }
  return name;
}

}  // namespace graft
