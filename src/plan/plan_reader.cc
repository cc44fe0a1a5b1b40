#include <cstring>
#include <map>

#include "backend_api/backend.h"
#include "base/aligned_buffer.h"
#include "plan/container.h"
#include "plan/plan_file.h"
#include "plan/plan_generated.h"

namespace graft {
namespace {

namespace fb = flatbuffers;

// No honest expression (of kMaxDimSize symbols and functions) or rank comes near; they keep a small
// file from costing long work.
constexpr size_t kMaxDimText = 16384;
constexpr size_t kMaxRank = 32;

std::string_view Text(const fb::String* text) {
  return text ? std::string_view(text->data(), text->size()) : std::string_view();
}

// An absent vector reads as an empty one.
// The verifier does not check that a vector's elements are aligned: they are copied as bytes.
template <class T>
std::vector<T> Numbers(const fb::Vector<T>* vector) {
  std::vector<T> numbers(vector ? vector->size() : 0);
  if (!numbers.empty()) std::memcpy(numbers.data(), vector->Data(), numbers.size() * sizeof(T));
  return numbers;
}
template <class T>
uint32_t Size(const fb::Vector<T>* vector) {
  return vector ? vector->size() : 0;
}

class Reader {
 public:
  Reader(const FileBytes& bytes, const ReadPlanOptions& options)
      : bytes_(bytes), options_(options) {}

  Result<Plan> Read() {
    GRAFT_RETURN_IF_ERROR(ReadSections());
    fb::Verifier verifier(reinterpret_cast<const uint8_t*>(metadata_.data()), metadata_.size());
    if (!plan_fbs::VerifyMetadataBuffer(verifier))
      return DataLossError("metadata: not a well-formed FlatBuffer");
    root_ = plan_fbs::GetMetadata(metadata_.data());
    plan_.backend = Text(root_->backend());
    plan_.content = HashBytes(metadata_);
    GRAFT_RETURN_IF_ERROR(ReadSymbols());
    GRAFT_RETURN_IF_ERROR(ReadValues());
    GRAFT_RETURN_IF_ERROR(ReadNodes());
    GRAFT_RETURN_IF_ERROR(ReadBindings());
    if (Status status = ir::Verify(plan_.module); !status.ok())
      return DataLossError("module: {}", status.message());
    GRAFT_RETURN_IF_ERROR(ReadDefaults());
    GRAFT_RETURN_IF_ERROR(ReadChoices());
    GRAFT_RETURN_IF_ERROR(ReadPacked());
    ReadProvenance();
    return std::move(plan_);
  }

 private:
  Status ReadSections() {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Section> sections, ReadContainer(bytes_));
    std::map<SectionKind, std::string_view> found;
    for (const Section& section : sections) {
      if (!found.emplace(section.kind, section.bytes).second)
        return DataLossError("section table: a section is there twice");
    }
    if (!found.contains(SectionKind::kMetadata))
      return DataLossError("section table: no metadata section");
    metadata_ = found[SectionKind::kMetadata];
    weights_ = found[SectionKind::kWeights];
    prepared_ = found[SectionKind::kPrepared];
    packed_ = found[SectionKind::kPacked];
    return OkStatus();
  }

  Result<ir::Dim> ReadDim(std::string_view text) const {
    if (text.size() > kMaxDimText)
      return DataLossError("an expression of {} characters", text.size());
    return ir::ParseDim(text, static_cast<int>(Size(root_->symbols())));
  }

  Result<std::vector<ir::Dim>> ReadDims(const fb::Vector<fb::Offset<fb::String>>* texts) const {
    std::vector<ir::Dim> dims;
    for (uint32_t i = 0; i < Size(texts); ++i) {
      GRAFT_ASSIGN_OR_RETURN(ir::Dim dim, ReadDim(Text(texts->Get(i))));
      dims.push_back(std::move(dim));
    }
    return dims;
  }

  Status ReadSymbols() {
    for (uint32_t i = 0; i < Size(root_->symbols()); ++i) {
      const plan_fbs::Symbol& stored = *root_->symbols()->Get(i);
      ir::Symbol symbol;
      if (stored.kind() > static_cast<uint8_t>(ir::Symbol::Kind::kExpression))
        return DataLossError("symbol {}: kind {}", i, stored.kind());
      symbol.kind = static_cast<ir::Symbol::Kind>(stored.kind());
      (symbol.is_result() ? symbol.node : symbol.input) = stored.source();
      symbol.axis = stored.axis();
      symbol.result = stored.result();
      symbol.name = Text(stored.name());
      if (stored.upper_bound()) {
        Result<ir::Dim> bound = ReadDim(Text(stored.upper_bound()));
        if (!bound.ok())
          return DataLossError("symbol {}: upper bound: {}", i, bound.status().message());
        symbol.upper_bound = *bound;
      }
      if (stored.expression()) {
        Result<ir::Dim> value = ReadDim(Text(stored.expression()));
        if (!value.ok())
          return DataLossError("symbol {}: expression: {}", i, value.status().message());
        symbol.expression = *value;
      }
      plan_.module.AddSymbol(std::move(symbol));
    }
    return OkStatus();
  }

  Status ReadValues() {
    for (uint32_t i = 0; i < Size(root_->values()); ++i) {
      const plan_fbs::Value& stored = *root_->values()->Get(i);
      ir::Value value;
      value.name = Text(stored.name());
      if (Status status = ReadValue(stored, &value); !status.ok()) {
        return Status(status.code(),
                      fmt::format("value {} ({}): {}", i, value.name, status.message()));
      }
      plan_.module.AddValue(std::move(value));
    }
    return OkStatus();
  }

  Status ReadValue(const plan_fbs::Value& stored, ir::Value* value) {
    value->dtype = static_cast<DType>(stored.dtype());
    if (SizeOf(value->dtype) == 0) return DataLossError("dtype {}", stored.dtype());
    value->has_shape = stored.has_shape();
    if (!value->has_shape) return DataLossError("it has no shape");
    if (Size(stored.shape()) > kMaxRank) return DataLossError("rank {}", Size(stored.shape()));
    GRAFT_ASSIGN_OR_RETURN(value->shape, ReadDims(stored.shape()));
    if (stored.contents()) {
      GRAFT_ASSIGN_OR_RETURN(value->contents, ReadDims(stored.contents()));
    }
    value->low = stored.low();
    value->high = stored.high();
    if (const plan_fbs::View* view = stored.view()) {
      GRAFT_ASSIGN_OR_RETURN(ir::Dim offset, ReadDim(Text(view->offset())));
      value->view = ir::View{view->base(), view->axis(), std::move(offset)};
    }
    if (const plan_fbs::QuantizationRange* range = stored.quantization()) {
      // An origin that does not exist is the verifier's to find.
      value->quantization = {Numbers(range->amax()), range->axis(),
                             static_cast<ir::RangeOrigin>(range->origin())};
    }
    value->producer = stored.producer();
    value->result = stored.result();
    return stored.weight() ? ReadWeight(*stored.weight(), value) : OkStatus();
  }

  Status ReadWeight(const plan_fbs::Weight& stored, ir::Value* value) {
    const std::optional<Dims> dims = ir::ConstantDims(value->shape);
    const int64_t elements = dims ? CountElements(*dims) : -1;
    if (elements < 0) return DataLossError("weight: its shape is {}", ir::ToString(value->shape));
    const Hash128 hash = {stored.hash()->high(), stored.hash()->low()};
    if (stored.external_name()) return FindExternal(stored, *dims, hash, value);

    GRAFT_ASSIGN_OR_RETURN(value->constant, FindBytes(stored, value->dtype, *dims));
    plan_.unchecked_weights.push_back({plan_.module.value_count(), hash});
    return OkStatus();
  }

  // In the weights section; their hash is not compared.
  Result<Tensor> FindBytes(const plan_fbs::Weight& stored, DType dtype, const Dims& dims) const {
    const uint64_t offset = stored.offset();
    const int64_t elements = CountElements(dims);
    if (offset % 64 != 0 || offset > weights_.size() || elements < 0 ||
        static_cast<uint64_t>(elements) > (weights_.size() - offset) / SizeOf(dtype)) {
      return DataLossError("weight: {} at {} does not lie in the weights section",
                           Describe(dtype, dims), offset);
    }
    const auto* data = reinterpret_cast<const std::byte*>(weights_.data() + offset);
    return Tensor(dtype, dims, std::shared_ptr<const std::byte>(bytes_.data, data));
  }

  Status FindExternal(const plan_fbs::Weight& stored, const Dims& dims, const Hash128& hash,
                      ir::Value* value) {
    const std::string name(Text(stored.external_name()));
    if (!options_.external_weight)
      return DataLossError(
          "weight: {} lies outside of the plan, in the native segment of the graph that the plan "
          "was "
          "taken from; convert with --embed-weights or GRAFT_EMBED_WEIGHTS=1 for plans that stand "
          "alone",
          name);
    auto fits = [&](const Tensor& tensor) {
      return tensor.dtype() == value->dtype && tensor.elements() == CountElements(dims) &&
             HashBytes(tensor.raw(), tensor.bytes()) == hash;
    };
    GRAFT_ASSIGN_OR_RETURN(const Tensor tensor, options_.external_weight(name, fits));
    if (!fits(tensor)) {
      return DataLossError(
          "weight: {} is {}, or has other values than the {} that the plan was made for", name,
          Describe(tensor.dtype(), tensor.dims()), Describe(value->dtype, dims));
    }
    // A filter may have been reshaped since it was read; its bytes are the same.
    value->constant = tensor.Reshaped(dims);
    return OkStatus();
  }

  Status ReadNodes() {
    const int symbol_count = static_cast<int>(plan_.module.symbols.size());
    for (uint32_t i = 0; i < Size(root_->nodes()); ++i) {
      const plan_fbs::Node& stored = *root_->nodes()->Get(i);
      ir::Node node;
      node.name = Text(stored.name());
      Result<ir::Attributes> attributes =
          ir::ParseAttributes(Text(stored.attributes()), symbol_count);
      if (!attributes.ok()) {
        return DataLossError("node {} ({}): attributes: {}", i, node.name,
                             attributes.status().message());
      }
      node.attributes = std::move(attributes).value();
      if (std::holds_alternative<std::monostate>(node.attributes) ||
          (ir::Flags(node.kind()) & (ir::kOpaque | ir::kUndecided))) {
        return DataLossError("node {} ({}): it cannot be in a plan", i, node.name);
      }
      node.inputs = Numbers(stored.inputs());
      node.outputs = Numbers(stored.outputs());
      node.origin = Numbers(stored.origin());
      plan_.module.AppendNode(std::move(node));
    }
    return OkStatus();
  }

  Status ReadBindings() {
    ir::Module& module = plan_.module;
    module.inputs = Numbers(root_->inputs());
    module.outputs = Numbers(root_->outputs());
    for (uint32_t i = 0; i < Size(root_->input_names()); ++i)
      module.input_names.emplace_back(Text(root_->input_names()->Get(i)));
    for (uint32_t i = 0; i < Size(root_->output_names()); ++i)
      module.output_names.emplace_back(Text(root_->output_names()->Get(i)));
    if (module.input_names.size() != module.inputs.size() ||
        module.output_names.size() != module.outputs.size()) {
      return DataLossError("bindings: not as many names as inputs and outputs");
    }
    return OkStatus();
  }

  // Few and small: they are compared with their hashes at once.
  Status ReadDefaults() {
    const ir::Module& module = plan_.module;
    const uint32_t count = Size(root_->input_defaults());
    if (count > 0) plan_.input_defaults.resize(module.inputs.size());
    for (uint32_t i = 0; i < count; ++i) {
      const plan_fbs::InputDefault& stored = *root_->input_defaults()->Get(i);
      const auto input = static_cast<size_t>(stored.input());
      if (stored.input() < 0 || input >= module.inputs.size())
        return DataLossError("default {}: input {} of {}", i, stored.input(), module.inputs.size());
      const std::string& name = module.input_names[input];
      if (plan_.input_defaults[input].valid())
        return DataLossError("default of {}: it has two", name);
      if (Size(stored.dims()) > kMaxRank)
        return DataLossError("default of {}: rank {}", name, Size(stored.dims()));
      const DType dtype = module.value(module.inputs[input]).dtype;
      Result<Tensor> tensor = FindBytes(*stored.weight(), dtype, Numbers(stored.dims()));
      if (!tensor.ok()) return DataLossError("default of {}: {}", name, tensor.status().message());
      if (Status status = FitsInput(module, input, *tensor); !status.ok())
        return DataLossError("default of {}: {}", name, status.message());
      const Hash128 hash = {stored.weight()->hash()->high(), stored.weight()->hash()->low()};
      if (HashBytes(tensor->raw(), tensor->bytes()) != hash)
        return DataLossError("default of {}: its bytes are altered", name);
      plan_.input_defaults[input] = *std::move(tensor);
    }
    return OkStatus();
  }

  Status ReadChoices() {
    Choices& choices = plan_.choices;
    for (uint32_t i = 0; i < Size(root_->tuning_points()); ++i) {
      choices.points.push_back({Numbers(root_->tuning_points()->Get(i)->symbols())});
      if (choices.points.back().symbols.size() != plan_.module.symbols.size())
        return DataLossError("tuning point {}: not as many values as symbols", i);
    }
    if (Size(root_->steps()) != static_cast<uint32_t>(plan_.module.node_count()))
      return DataLossError("steps: {} for {} nodes", Size(root_->steps()),
                           plan_.module.node_count());
    for (uint32_t i = 0; i < Size(root_->steps()); ++i) {
      const plan_fbs::Step& stored = *root_->steps()->Get(i);
      StepChoice step;
      for (uint32_t t = 0; t < Size(stored.tactics()); ++t) {
        const plan_fbs::Tactic& tactic = *stored.tactics()->Get(t);
        step.tactics.push_back(
            {std::string(Text(tactic.name())), tactic.version(), ReadPrepared(tactic.prepared())});
        const size_t prepared = step.tactics.back().prepared.size();
        if (prepared != 0 && prepared != choices.points.size())
          return DataLossError("step {}: not as many prepared forms as tuning points", i);
      }
      step.best = Numbers(stored.best());
      if (step.best.size() != choices.points.size())
        return DataLossError("step {}: not as many choices as tuning points", i);
      for (const int best : step.best) {
        if (best < 0 || best >= static_cast<int>(step.tactics.size()))
          return DataLossError("step {}: tactic {} of {}", i, best, step.tactics.size());
      }
      choices.steps.push_back(std::move(step));
    }
    return OkStatus();
  }

  // What is not there as it was written reads as lost: it costs a tactic, not the plan.
  std::vector<std::optional<std::string>> ReadPrepared(
      const fb::Vector<fb::Offset<plan_fbs::Prepared>>* entries) const {
    std::vector<std::optional<std::string>> prepared;
    for (uint32_t i = 0; i < Size(entries); ++i) {
      const plan_fbs::Prepared& stored = *entries->Get(i);
      const Hash128 hash = {stored.hash()->high(), stored.hash()->low()};
      const uint64_t size = stored.size();
      if (size == 0) {
        prepared.emplace_back("");
        continue;
      }
      prepared.emplace_back();
      if (size > kMaxPreparedBytes || size > prepared_.size() ||
          stored.offset() > prepared_.size() - size) {
        continue;
      }
      const std::string_view bytes = prepared_.substr(stored.offset(), size);
      if (HashBytes(bytes) == hash) prepared.back() = bytes;
    }
    return prepared;
  }

  Status ReadPacked() {
    for (uint32_t i = 0; i < Size(root_->packed()); ++i) {
      const plan_fbs::Packed& stored = *root_->packed()->Get(i);
      if (stored.node() < 0 || stored.node() >= plan_.module.node_count())
        return DataLossError("packed constants {}: node {} of {}", i, stored.node(),
                             plan_.module.node_count());
      const uint64_t offset = stored.offset();
      if (offset % kBufferAlignment != 0 || offset > packed_.size() || stored.size() == 0 ||
          stored.size() > packed_.size() - offset) {
        return DataLossError("packed constants {}: {} bytes at {} do not lie in the packed section",
                             i, stored.size(), offset);
      }
      const auto* data = reinterpret_cast<const std::byte*>(packed_.data() + offset);
      plan_.packed.push_back({stored.node(),
                              std::string(Text(stored.tactic())),
                              stored.version(),
                              std::string(Text(stored.target())),
                              std::shared_ptr<const std::byte>(bytes_.data, data),
                              stored.size(),
                              {stored.hash()->high(), stored.hash()->low()}});
    }
    return OkStatus();
  }

  void ReadProvenance() {
    if (const plan_fbs::Provenance* p = root_->provenance()) {
      plan_.provenance = {std::string(Text(p->model_hash())), std::string(Text(p->options())),
                          std::string(Text(p->fingerprint())), std::string(Text(p->versions()))};
    }
  }

  const FileBytes& bytes_;
  const ReadPlanOptions& options_;
  std::string_view metadata_;
  std::string_view weights_;
  std::string_view prepared_;
  std::string_view packed_;
  const plan_fbs::Metadata* root_ = nullptr;
  Plan plan_;
};

}  // namespace

Result<Plan> ReadPlan(const FileBytes& bytes, const ReadPlanOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(Plan plan, Reader(bytes, options).Read());
  if (options.check_all_weights || bytes.size <= kSmallPlanBytes) {
    GRAFT_RETURN_IF_ERROR(CheckWeights(plan));
    plan.unchecked_weights.clear();
  }
  if (options.check_all_weights) {
    for (const PackedConstants& packed : plan.packed) {
      if (!HasItsHash(packed)) {
        return DataLossError("packed constants of {}: their bytes are altered",
                             plan.module.node(packed.node).name);
      }
    }
  }
  return plan;
}

Result<Plan> LoadPlan(const std::string& path, const ReadPlanOptions& options, bool map) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path, map));
  Result<Plan> plan = ReadPlan(bytes, options);
  if (!plan.ok()) return plan.status().WithContext(path);
  return plan;
}

}  // namespace graft
