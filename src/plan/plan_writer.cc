#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/aligned_buffer.h"
#include "base/destination.h"
#include "plan/container.h"
#include "plan/plan_file.h"
#include "plan/plan_generated.h"

namespace graft {
namespace {

namespace fb = flatbuffers;

// What the reader would refuse is not written in the first place.
Status CheckWhole(const Plan& plan) {
  const ir::Module& module = plan.module;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) return InvalidArgumentError("node {} is removed: compact first", id);
    const ir::Node& node = module.node(id);
    if (ir::Flags(node.kind()) & (ir::kOpaque | ir::kUndecided))
      return InvalidArgumentError("{}: {} cannot be in a plan", node.name, ir::Name(node.kind()));
  }
  if (plan.choices.steps.size() != static_cast<size_t>(module.node_count())) {
    return InvalidArgumentError("{} steps for {} nodes", plan.choices.steps.size(),
                                module.node_count());
  }
  if (plan.input_defaults.size() > module.inputs.size())
    return InvalidArgumentError("{} defaults for {} inputs", plan.input_defaults.size(),
                                module.inputs.size());
  return OkStatus();
}

// A section of pieces, of which equal ones are stored once. It refers to their bytes.
struct Pool : NewSection {
  explicit Pool(SectionKind kind) : NewSection{kind, {}} {}
  // The piece's offset.
  size_t Put(const Hash128& hash, std::string_view bytes) {
    const auto [entry, added] = offsets.try_emplace({hash, bytes.size()}, AlignUp(size()));
    if (added) pieces.push_back({entry->second, bytes});
    return entry->second;
  }
  // By size too: a hash that a file has told may be wrong.
  std::map<std::pair<Hash128, size_t>, size_t> offsets;
};

class Writer {
 public:
  Writer(const Plan& plan, const WritePlanOptions& options) : plan_(plan), options_(options) {}

  // The parts refer to the plan's constants and to this writer.
  Result<FileParts> Write() {
    GRAFT_RETURN_IF_ERROR(CheckWhole(plan_));
    const ir::Module& module = plan_.module;
    std::vector<fb::Offset<plan_fbs::Symbol>> symbols;
    for (const ir::Symbol& symbol : module.symbols) symbols.push_back(Put(symbol));
    std::vector<fb::Offset<plan_fbs::Value>> values;
    for (ir::ValueId id = 0; id < module.value_count(); ++id) {
      GRAFT_ASSIGN_OR_RETURN(const auto value, Put(id));
      values.push_back(value);
    }
    std::vector<fb::Offset<plan_fbs::Node>> nodes;
    for (ir::NodeId id = 0; id < module.node_count(); ++id) nodes.push_back(Put(module.node(id)));
    std::vector<fb::Offset<plan_fbs::TuningPoint>> points;
    for (const TuningPoint& point : plan_.choices.points) {
      points.push_back(plan_fbs::CreateTuningPoint(builder_, builder_.CreateVector(point.symbols)));
    }
    std::vector<fb::Offset<plan_fbs::Step>> steps;
    for (const StepChoice& step : plan_.choices.steps) steps.push_back(Put(step));
    std::vector<fb::Offset<plan_fbs::InputDefault>> defaults;
    for (size_t i = 0; i < plan_.input_defaults.size(); ++i) {
      const Tensor& tensor = plan_.input_defaults[i];
      if (!tensor.valid()) continue;
      defaults.push_back(plan_fbs::CreateInputDefault(builder_, static_cast<int32_t>(i),
                                                      builder_.CreateVector(tensor.dims()),
                                                      PutBytes(tensor)));
    }
    std::vector<fb::Offset<plan_fbs::Packed>> packed;
    for (const PackedConstants& constants : plan_.packed) packed.push_back(Put(constants));
    const Provenance& p = plan_.provenance;
    const auto provenance = plan_fbs::CreateProvenance(builder_, Put(p.model_hash), Put(p.options),
                                                       Put(p.fingerprint), Put(p.versions));
    plan_fbs::FinishMetadataBuffer(
        builder_, plan_fbs::CreateMetadata(
                      builder_, builder_.CreateVector(symbols), builder_.CreateVector(values),
                      builder_.CreateVector(nodes), builder_.CreateVector(module.inputs),
                      builder_.CreateVector(module.outputs), Put(module.input_names),
                      Put(module.output_names), Put(plan_.backend), builder_.CreateVector(points),
                      builder_.CreateVector(steps), provenance,
                      defaults.empty() ? 0 : builder_.CreateVector(defaults),
                      packed.empty() ? 0 : builder_.CreateVector(packed)));
    const std::string_view metadata(reinterpret_cast<const char*>(builder_.GetBufferPointer()),
                                    builder_.GetSize());
    std::vector<NewSection> sections = {{SectionKind::kMetadata, {{0, metadata}}},
                                        std::move(weights_)};
    if (!prepared_.pieces.empty()) sections.push_back(std::move(prepared_));
    if (!packed_.pieces.empty()) sections.push_back(std::move(packed_));
    return WriteContainer(sections);
  }

  // To read what was written: constants that lie elsewhere are the plan's own.
  ReadPlanOptions read_options() const {
    ReadPlanOptions options;
    options.external_weight = [this](const std::string& name, auto fits) -> Result<Tensor> {
      const auto found = external_.find(name);
      if (found != external_.end() && fits(found->second)) return found->second;
      return InternalError("{} is not what was named so", name);
    };
    return options;
  }

 private:
  fb::Offset<fb::String> Put(const std::string& text) { return builder_.CreateSharedString(text); }
  fb::Offset<fb::Vector<fb::Offset<fb::String>>> Put(const std::vector<std::string>& texts) {
    std::vector<fb::Offset<fb::String>> strings;
    for (const std::string& text : texts) strings.push_back(Put(text));
    return builder_.CreateVector(strings);
  }
  fb::Offset<fb::Vector<fb::Offset<fb::String>>> Put(const std::vector<ir::Dim>& dims) {
    std::vector<fb::Offset<fb::String>> strings;
    for (const ir::Dim& dim : dims) strings.push_back(Put(dim.ToString()));
    return builder_.CreateVector(strings);
  }

  fb::Offset<plan_fbs::Symbol> Put(const ir::Symbol& symbol) {
    const auto bound = symbol.upper_bound ? Put(symbol.upper_bound->ToString()) : 0;
    const auto expression = symbol.expression ? Put(symbol.expression->ToString()) : 0;
    const int32_t source = symbol.is_result() ? symbol.node : symbol.input;
    return plan_fbs::CreateSymbol(builder_, static_cast<uint8_t>(symbol.kind), source, symbol.axis,
                                  symbol.result, Put(symbol.name), bound, expression);
  }

  Result<fb::Offset<plan_fbs::Value>> Put(ir::ValueId id) {
    const ir::Value& value = plan_.module.value(id);
    fb::Offset<plan_fbs::Weight> weight = 0;
    if (value.constant) {
      GRAFT_ASSIGN_OR_RETURN(weight, PutWeight(id));
    }
    const auto contents = value.contents ? Put(*value.contents) : 0;
    const auto view = value.view
                          ? plan_fbs::CreateView(builder_, value.view->base, value.view->axis,
                                                 Put(value.view->offset.ToString()))
                          : 0;
    fb::Offset<plan_fbs::QuantizationRange> quantization = 0;
    if (const auto& range = value.quantization) {
      quantization =
          plan_fbs::CreateQuantizationRange(builder_, builder_.CreateVector(range->amax),
                                            range->axis, static_cast<uint8_t>(range->origin));
    }
    return plan_fbs::CreateValue(builder_, Put(value.name), static_cast<uint8_t>(value.dtype),
                                 value.has_shape, Put(value.shape), weight, contents, value.low,
                                 value.high, view, value.producer, value.result, quantization);
  }

  Result<fb::Offset<plan_fbs::Weight>> PutWeight(ir::ValueId id) {
    const ir::Value& value = plan_.module.value(id);
    const Tensor& tensor = *value.constant;
    if (SizeOf(tensor.dtype()) == 0) {
      return InvalidArgumentError("{}: a plan holds no {} constants", value.name,
                                  Name(tensor.dtype()));
    }
    if (options_.external_name) {
      const std::string name = options_.external_name(id);
      if (!name.empty()) {
        const Hash128 hash = HashBytes(tensor.raw(), tensor.bytes());
        const plan_fbs::Hash stored(hash.high, hash.low);
        external_.emplace(name, tensor);
        return plan_fbs::CreateWeight(builder_, &stored, 0, Put(name));
      }
    }
    return PutBytes(tensor);
  }

  // In the weights section.
  fb::Offset<plan_fbs::Weight> PutBytes(const Tensor& tensor) {
    const Hash128 hash = HashBytes(tensor.raw(), tensor.bytes());
    const plan_fbs::Hash stored(hash.high, hash.low);
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
    return plan_fbs::CreateWeight(builder_, &stored, weights_.Put(hash, bytes), 0);
  }

  // For each tuning point; none when the tactic has prepared nothing.
  fb::Offset<fb::Vector<fb::Offset<plan_fbs::Prepared>>> PutPrepared(const TacticChoice& tactic) {
    if (tactic.prepared.empty()) return 0;
    std::vector<fb::Offset<plan_fbs::Prepared>> entries;
    for (const std::optional<std::string>& bytes : tactic.prepared) {
      const Hash128 hash = HashBytes(bytes.value_or(""));
      const plan_fbs::Hash stored(hash.high, hash.low);
      const size_t offset = bytes && !bytes->empty() ? prepared_.Put(hash, *bytes) : 0;
      // What is lost stays lost: no reader takes that size.
      const size_t size = bytes ? bytes->size() : SIZE_MAX;
      entries.push_back(plan_fbs::CreatePrepared(builder_, &stored, offset, size));
    }
    return builder_.CreateVector(entries);
  }

  fb::Offset<plan_fbs::Packed> Put(const PackedConstants& packed) {
    const plan_fbs::Hash stored(packed.hash.high, packed.hash.low);
    const std::string_view bytes(reinterpret_cast<const char*>(packed.bytes.get()), packed.size);
    return plan_fbs::CreatePacked(builder_, packed.node, Put(packed.tactic), packed.version,
                                  Put(packed.target), &stored, packed_.Put(packed.hash, bytes),
                                  packed.size);
  }

  fb::Offset<plan_fbs::Node> Put(const ir::Node& node) {
    return plan_fbs::CreateNode(
        builder_, Put(ir::AttributesToString(node.attributes)), builder_.CreateVector(node.inputs),
        builder_.CreateVector(node.outputs), Put(node.name), builder_.CreateVector(node.origin));
  }

  fb::Offset<plan_fbs::Step> Put(const StepChoice& step) {
    std::vector<fb::Offset<plan_fbs::Tactic>> tactics;
    for (const TacticChoice& tactic : step.tactics)
      tactics.push_back(
          plan_fbs::CreateTactic(builder_, Put(tactic.name), tactic.version, PutPrepared(tactic)));
    return plan_fbs::CreateStep(builder_, builder_.CreateVector(tactics),
                                builder_.CreateVector(step.best));
  }

  const Plan& plan_;
  const WritePlanOptions& options_;
  fb::FlatBufferBuilder builder_;
  Pool weights_{SectionKind::kWeights};
  Pool prepared_{SectionKind::kPrepared};
  Pool packed_{SectionKind::kPacked};
  std::map<std::string, Tensor> external_;
};

// Reads the file as its users will, and compares every weight with its hash. What has been compared
// is let go: the mapping of a large model would else be in memory beside the model.
Status VerifyWritten(const std::string& path, const ReadPlanOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path));
  Result<Plan> plan = ReadPlan(bytes, options);
  if (!plan.ok()) return plan.status().WithContext(path);
  const auto release = [&](const std::byte* end) {
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const auto read = static_cast<size_t>(end - bytes.data.get()) / page * page;
    // Of a private mapping that nobody wrote to, so the bytes come back from the file.
    if (read > 0) ::madvise(const_cast<std::byte*>(bytes.data.get()), read, MADV_DONTNEED);
  };
  // In the order of the file.
  std::multimap<const std::byte*, const UncheckedWeight*> weights;
  for (const UncheckedWeight& weight : plan->unchecked_weights)
    weights.emplace(plan->module.value(weight.value).constant->raw(), &weight);
  for (const auto& [data, weight] : weights) {
    if (Status status = CheckWeight(*plan, *weight); !status.ok()) return status.WithContext(path);
    release(data + plan->module.value(weight->value).constant->bytes());
  }
  return OkStatus();
}

}  // namespace

std::string BuildVersions() {
  return fmt::format("graft {}, flatbuffers {}.{}.{}", GRAFT_VERSION, FLATBUFFERS_VERSION_MAJOR,
                     FLATBUFFERS_VERSION_MINOR, FLATBUFFERS_VERSION_REVISION);
}

Result<std::string> WritePlan(const Plan& plan, const WritePlanOptions& options) {
  Writer writer(plan, options);
  GRAFT_ASSIGN_OR_RETURN(const FileParts file, writer.Write());
  std::string bytes = file.Joined();
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  const FileBytes written{std::shared_ptr<const std::byte>(std::shared_ptr<void>(), data),
                          bytes.size()};
  GRAFT_RETURN_IF_ERROR(ReadPlan(written, writer.read_options()).status());
  return bytes;
}

Result<size_t> WritePlanFile(const Plan& plan, const std::string& given,
                             const WritePlanOptions& options) {
  const std::string path = FileBehind(given);
  if (IsNoFile(path))
    return InvalidArgumentError("{}: a plan takes the place of a regular file only", path);
  Writer writer(plan, options);
  GRAFT_ASSIGN_OR_RETURN(const FileParts file, writer.Write());
  std::vector<std::string_view> parts = {file.head};
  parts.insert(parts.end(), file.rest.begin(), file.rest.end());
  // It takes its place when it can be read.
  const std::string unread = path + ".unread";
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically(unread, parts));
  Status status = VerifyWritten(unread, writer.read_options());
  std::error_code error;
  if (status.ok()) {
    std::filesystem::rename(unread, path, error);
    if (error) status = IoError("{}: {}", path, error.message());
  }
  if (!status.ok()) {
    std::filesystem::remove(unread, error);
    return status;
  }
  size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  return size;
}

}  // namespace graft
