#include "backends/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "backend_api/table_backend.h"
#include "backends/cuda/cuda_device.h"
#include "backends/cuda/prepared.h"
#include "backends/cuda/product.h"
#include "backends/cuda/tactics.h"
#include "base/aligned_buffer.h"

namespace graft {
namespace cuda {
namespace {

Status Encode(const CudaDevice& device, const TensorMap& map, intptr_t address,
              CUtensorMap* encoded) {
  const CudaDevice::Scope scope(device);  // asked for, though nothing there is used
  GRAFT_RETURN_IF_ERROR(scope.status());
  const Driver& driver = device.driver();
  const CUtensorMapDataType type = map.dtype == DType::kBFloat16  ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                   : map.dtype == DType::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                                  : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const auto rank = static_cast<cuuint32_t>(map.dims.size());
  const CUtensorMapSwizzle swizzle =
      map.swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B;
  void* const at = reinterpret_cast<void*>(address);
  if (map.first.empty()) {
    const std::vector<cuuint32_t> every(map.dims.size(), 1);
    GRAFT_CUDA(driver, TensorMapEncodeTiled, encoded, type, rank, at, map.dims.data(),
               map.strides.data(), map.box.data(), every.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
               swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return OkStatus();
  }
  const cuuint32_t distance[] = {1, map.distance[0], map.distance[1], 1};
  GRAFT_CUDA(driver, TensorMapEncodeIm2col, encoded, type, rank, at, map.dims.data(),
             map.strides.data(), map.first.data(), map.last.data(), map.box[0], map.box[1],
             distance, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return OkStatus();
}

// A right factor in the card's memory; nothing where there is no card.
class PackedFactor final : public PackedWeights {
 public:
  static Result<std::unique_ptr<PackedWeights>> Upload(CudaDevice* card,
                                                       std::span<const std::byte> bytes) {
    auto factor = std::unique_ptr<PackedFactor>(new PackedFactor(card, bytes.size()));
    if (card == nullptr) return std::unique_ptr<PackedWeights>(std::move(factor));
    GRAFT_ASSIGN_OR_RETURN(factor->memory_, card->Allocate(bytes.size()));
    GRAFT_RETURN_IF_ERROR(CopyBytes(*card, factor->memory_, MemorySpace::kDevice, bytes.data(),
                                    MemorySpace::kHost, bytes.size(), nullptr));
    return std::unique_ptr<PackedWeights>(std::move(factor));
  }
  ~PackedFactor() override {
    if (memory_ != nullptr) card_->Free(memory_);
  }

  std::vector<std::span<const std::byte>> regions() const override {
    if (memory_ == nullptr) return {};
    return {{static_cast<const std::byte*>(memory_), bytes_}};
  }
  const void* memory() const { return memory_; }

 private:
  PackedFactor(CudaDevice* card, size_t bytes) : card_(card), bytes_(bytes) {}

  CudaDevice* const card_;
  const size_t bytes_;
  void* memory_ = nullptr;
};

class CudaStep final : public BoundStep {
 public:
  // packed: in place of the right factor, or null.
  static Result<std::unique_ptr<BoundStep>> Create(CudaDevice& device, const BoundNode& node,
                                                   StepProgram program, const PackedFactor* packed,
                                                   std::string_view prepared) {
    auto step = std::unique_ptr<CudaStep>(new CudaStep(device, node.name, packed));
    PlanFunction* const unaligned = program.unaligned;
    GRAFT_ASSIGN_OR_RETURN(step->kernels_, step->Load(std::move(program), prepared));
    if (unaligned == nullptr) return std::unique_ptr<BoundStep>(std::move(step));
    step->unaligned_ = std::make_unique<Unaligned>();
    step->unaligned_->plan = unaligned;
    step->unaligned_->node = node;
    // What was prepared lies elsewhere; of other shapes few meet such addresses.
    if (!prepared.empty()) GRAFT_RETURN_IF_ERROR(step->FindUnaligned(prepared).status());
    return std::unique_ptr<BoundStep>(std::move(step));
  }

  size_t workspace_bytes(int) const override { return kernels_.workspace_bytes; }

  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    const Kernels* kernels = &kernels_;
    if (unaligned_ != nullptr && !IsAligned(pointers)) {
      GRAFT_ASSIGN_OR_RETURN(kernels, FindUnaligned(""));
    }
    for (size_t i = 0; i < kernels->launches.size(); ++i) {
      const Launch& launch = kernels->launches[i];
      std::array<int64_t, kMostWords> words;
      const std::span<const int64_t> known = launch.parameter.words();
      std::copy(known.begin(), known.end(), words.begin());
      for (const Parameter::Pointer& p : launch.parameter.pointers()) {
        const void* base = nullptr;
        switch (p.source) {
          case Parameter::Source::kInput:
            base = Input(pointers, p.index);
            break;
          case Parameter::Source::kOutput:
            base = pointers.outputs[p.index];
            break;
          case Parameter::Source::kWorkspace:
            base = pointers.workspace;
            break;
          case Parameter::Source::kError: {
            GRAFT_ASSIGN_OR_RETURN(const std::shared_ptr<ErrorRecord> error,
                                   device_.ErrorOf(queue.stream));
            base = error.get();  // lives as long as the stream
            break;
          }
        }
        words[p.word] = static_cast<int64_t>(reinterpret_cast<intptr_t>(base)) + p.offset;
      }
      for (const auto& [word, map] : launch.parameter.maps()) {
        const auto address = reinterpret_cast<intptr_t>(Input(pointers, map.input));
        CUtensorMap encoded;
        GRAFT_RETURN_IF_ERROR(Encode(device_, map, address, &encoded));
        static_assert(sizeof(encoded) == TensorMap::kWords * sizeof(int64_t));
        std::memcpy(&words[word], &encoded, sizeof(encoded));
      }
      if (launch.parameter.step_word() >= 0) words[launch.parameter.step_word()] = name_.number();
      GRAFT_RETURN_IF_ERROR(
          device_.LaunchKernel(kernels->functions[i], launch, words.data(), queue.stream));
    }
    return OkStatus();
  }

 private:
  static constexpr size_t kMostWords = 512;  // 4 kB, the driver's limit

  struct Kernels {
    std::vector<Launch> launches;
    std::vector<CUfunction> functions;
    size_t workspace_bytes = 0;
  };
  // For operands and results at any address, planned when some are not at multiples of 16 bytes.
  struct Unaligned {
    PlanFunction* plan = nullptr;
    BoundNode node;
    std::mutex mutex;
    std::optional<Kernels> kernels;
  };

  CudaStep(CudaDevice& device, const std::string& name, const PackedFactor* packed)
      : device_(device), name_(name), packed_(packed ? packed->memory() : nullptr) {}

  const void* Input(const StepPointers& pointers, int index) const {
    return index == 1 && packed_ != nullptr ? packed_ : pointers.inputs[index];
  }

  static bool IsAligned(const StepPointers& pointers) {
    const auto aligned = [](const void* p) { return reinterpret_cast<intptr_t>(p) % 16 == 0; };
    return std::all_of(pointers.inputs.begin(), pointers.inputs.end(), aligned) &&
           std::all_of(pointers.outputs.begin(), pointers.outputs.end(), aligned);
  }

  Result<const Kernels*> FindUnaligned(std::string_view prepared) const {
    std::lock_guard lock(unaligned_->mutex);
    std::optional<Kernels>& kernels = unaligned_->kernels;
    if (!kernels) {
      GRAFT_ASSIGN_OR_RETURN(StepProgram program, unaligned_->plan(unaligned_->node));
      GRAFT_ASSIGN_OR_RETURN(Kernels loaded, Load(std::move(program), prepared));
      if (loaded.workspace_bytes > kernels_.workspace_bytes)
        return InternalError("{} bytes of workspace", loaded.workspace_bytes);
      kernels = std::move(loaded);
    }
    return &*kernels;
  }

  Result<Kernels> Load(StepProgram program, std::string_view prepared) const {
    Kernels kernels = {std::move(program.launches), {}, program.workspace_bytes};
    const auto without = [](const Launch& l) { return l.without_clusters; };
    if (device_.has_clusters() && std::erase_if(kernels.launches, without) > 0)
      kernels.workspace_bytes = 0;  // it was for those
    for (const Launch& launch : kernels.launches) {
      if (launch.parameter.words().size() > kMostWords)
        return UnsupportedError("a parameter of {} words", launch.parameter.words().size());
      const std::string hash = HashOf(launch.kernel, device_.sm());
      GRAFT_ASSIGN_OR_RETURN(const CUfunction function,
                             device_.FindKernel(launch, hash, CubinIn(prepared, hash)));
      kernels.functions.push_back(function);
    }
    return kernels;
  }

  CudaDevice& device_;
  Kernels kernels_;
  std::unique_ptr<Unaligned> unaligned_;  // null: the kernels take any address
  StepName name_;
  const void* const packed_;
};

Status NoCard() { return UnsupportedError("nothing runs for a kind of card: name a card"); }

// Of a kind of card.
class NoDevice final : public Device {
 public:
  bool host_accessible() const override { return false; }
  Result<void*> Allocate(size_t) override { return NoCard(); }
  void Free(void*) override {}
  Result<void*> CreateStream() override { return NoCard(); }
  void DestroyStream(void*) override {}
  Status Copy(const CopyRegion&, void*) override { return NoCard(); }
  Status Synchronize(void*) override { return NoCard(); }
};

class CudaTactic final : public Tactic {
 public:
  // card: null where there is none.
  CudaTactic(const TacticRow& row, int sm, CudaDevice* card) : row_(row), sm_(sm), card_(card) {}

  std::string_view name() const override { return row_.name; }
  int version() const override { return row_.version; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    if (node.kind() != row_.op) return Refuse("{} is no {}", name(), ir::Name(node.kind()));
    if (row_.cards > 0 && row_.cards != sm_)
      return Refuse("{}, it is for {} alone", NameOfSm(sm_), NameOfSm(row_.cards));
    if (row_.cards == -sm_) return Refuse("{}, which has better", NameOfSm(sm_));
    return row_.refuse(module, node);
  }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    return {.packed_inputs = row_.packs ? std::vector<int>{1} : std::vector<int>{},
            .strided_inputs = row_.strided_inputs,
            .strided_output = row_.strided_output,
            .prepares = true};
  }

  std::string_view packing() const override { return row_.packs ? "cuda.columns" : ""; }

  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor&) const override {
    const Tensor& factor = *module.value(node.inputs[1]).constant;
    AlignedBuffer bytes(card_ ? factor.bytes() : 0);
    if (card_ && !bytes)
      return ResourceExhaustedError("no memory to pack {} bytes", factor.bytes());
    if (card_) PackColumns(node, factor, bytes.data());
    return PackedFactor::Upload(card_, {bytes.data(), bytes.size()});
  }

  Result<std::string> Prepare(const BoundNode& node, const PackedWeights*) const override {
    GRAFT_RETURN_IF_ERROR(VerifyBound(node));
    GRAFT_ASSIGN_OR_RETURN(StepProgram program, row_.plan(node));
    StepProgram unaligned;
    if (program.unaligned != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(unaligned, program.unaligned(node));
    }
    std::map<std::string, std::string> cubins;
    for (const std::vector<Launch>* launches : {&program.launches, &unaligned.launches}) {
      for (const Launch& launch : *launches) {
        GRAFT_ASSIGN_OR_RETURN(Compiled compiled, Compile(launch.kernel, sm_));
        cubins[HashOf(launch.kernel, sm_)] = std::move(compiled.cubin);
      }
    }
    return WritePrepared(cubins);
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view prepared) const override {
    if (card_ == nullptr) return NoCard();
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].dense() && !node.inputs[i].in_result)
        return UnsupportedError("{}: operand {} is not dense", node.name, i);
    }
    GRAFT_ASSIGN_OR_RETURN(StepProgram program, row_.plan(node));
    return CudaStep::Create(*card_, node, std::move(program),
                            static_cast<const PackedFactor*>(packed), prepared);
  }

  // Without timings the first candidate stands.
  double Cost(const BoundNode&) const override { return 1; }

 private:
  const TacticRow& row_;
  const int sm_;
  CudaDevice* const card_;
};

TacticTable TacticsOf(int sm, CudaDevice* card) {
  TacticTable table;
  for (const TacticRow& row : Tactics())
    table.push_back({row.op, std::make_unique<CudaTactic>(row, sm, card)});
  return table;
}

class CudaBackendImpl final : public TableBackend {
 public:
  explicit CudaBackendImpl(std::unique_ptr<CudaDevice> card)
      : CudaBackendImpl(card->sm(), card->fingerprint(), card.get()) {
    device_ = std::move(card);
  }
  CudaBackendImpl(int sm, std::string fingerprint, CudaDevice* card = nullptr)
      : TableBackend(TacticsOf(sm, card)),
        fingerprint_(std::move(fingerprint)),
        device_(std::make_unique<NoDevice>()) {}

  std::string_view name() const override { return "cuda"; }
  Device& device() override { return *device_; }

  std::string Fingerprint() const override { return fingerprint_; }
  bool uses_executor() const override { return false; }

 private:
  std::string fingerprint_;
  std::unique_ptr<Device> device_;
};

}  // namespace
}  // namespace cuda

Result<Backend*> CudaBackend(int ordinal) {
  if (ordinal < 0) return InvalidArgumentError("cuda has no device {}", ordinal);
  static std::mutex mutex;
  // Never destroyed: engines may be, after static objects.
  static auto* const backends = new std::map<int, std::unique_ptr<cuda::CudaBackendImpl>>;
  std::lock_guard lock(mutex);
  // Asks again whether the process was forked.
  GRAFT_RETURN_IF_ERROR(cuda::OpenDriver().status());
  std::unique_ptr<cuda::CudaBackendImpl>& backend = (*backends)[ordinal];
  if (!backend) {
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<cuda::CudaDevice> device,
                           cuda::CudaDevice::Open(ordinal));
    backend = std::make_unique<cuda::CudaBackendImpl>(std::move(device));
  }
  return backend.get();
}

Result<Backend*> CudaTarget(std::string_view kind) {
  GRAFT_ASSIGN_OR_RETURN(const int sm, cuda::SmOfName(kind));
  GRAFT_ASSIGN_OR_RETURN(const cuda::Nvrtc* const nvrtc, cuda::OpenNvrtc());
  static std::mutex mutex;
  static auto* const backends = new std::map<int, std::unique_ptr<cuda::CudaBackendImpl>>;
  std::lock_guard lock(mutex);
  std::unique_ptr<cuda::CudaBackendImpl>& backend = (*backends)[sm];
  if (!backend) {
    backend = std::make_unique<cuda::CudaBackendImpl>(
        sm, fmt::format("no card, for {} nvrtc={}", cuda::NameOfSm(sm), nvrtc->version));
  }
  return backend.get();
}

}  // namespace graft
