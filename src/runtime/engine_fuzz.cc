// A plan from outside becomes an engine that runs small shapes, or is refused: whatever it says, it
// costs no more memory than is granted.
#include <algorithm>

#include "base/aligned_buffer.h"
#include "plan/container.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace {

using graft::Result;

constexpr size_t kGranted = size_t{1} << 20;  // for each input, output and arena

class SmallArena : public graft::ArenaAllocator {
 public:
  Result<void*> Allocate(size_t bytes) override {
    if (bytes > kGranted) return graft::ResourceExhaustedError("{} bytes", bytes);
    return std::aligned_alloc(64, graft::AlignUp(std::max<size_t>(bytes, 1)));
  }
  void Free(void* memory) override { std::free(memory); }
};

void RunWith(const graft::Engine& engine, graft::Context& context, int64_t size) {
  const graft::ir::Module& module = engine.module();
  const std::vector<int64_t> symbols(module.symbols.size(), size);
  std::vector<graft::Tensor> inputs;
  std::vector<graft::TensorView> views;
  for (const graft::ir::ValueId id : module.inputs) {
    graft::Dims dims;
    for (const graft::ir::Dim& d : module.value(id).shape) {
      const Result<int64_t> n = d.Evaluate(symbols);
      if (!n.ok()) return;
      dims.push_back(*n);
    }
    const graft::DType dtype = module.value(id).dtype;
    const int64_t elements = graft::CountElements(dims);
    if (elements < 0 || elements > static_cast<int64_t>(kGranted / graft::SizeOf(dtype))) return;
    Result<graft::Tensor> tensor = graft::Tensor::Allocate(dtype, dims);
    if (!tensor.ok()) return;
    auto* bytes = reinterpret_cast<uint8_t*>(tensor->mutable_raw());
    std::fill_n(bytes, tensor->bytes(), uint8_t{0});
    // Small integers of either byte order's first byte: what says a shape.
    for (size_t i = 0; i < tensor->bytes(); i += graft::SizeOf(dtype))
      bytes[i] = static_cast<uint8_t>(size);
    inputs.push_back(*std::move(tensor));
    views.push_back(graft::ViewOf(inputs.back()));
  }
  SmallArena arena;
  std::vector<void*> outputs;
  const auto give = [&](int, graft::DType, std::span<const int64_t>,
                        size_t bytes) -> Result<void*> {
    Result<void*> memory = arena.Allocate(bytes);
    if (memory.ok()) outputs.push_back(*memory);
    return memory;
  };
  static_cast<void>(context.Run(views, give));
  for (void* memory : outputs) arena.Free(memory);
}

void BuildAndRun(std::string_view text) {
  std::shared_ptr<std::byte[]> copy(new std::byte[text.size()]);
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), copy.get());
  const graft::FileBytes bytes{std::shared_ptr<const std::byte>(copy, copy.get()), text.size()};
  Result<graft::Plan> plan = graft::ReadPlan(bytes);
  if (!plan.ok()) return;
  const Result<graft::Backend*> backend = graft::FindBackend(plan->backend);
  if (!backend.ok()) return;
  const auto engine = graft::Engine::Create(*std::move(plan), **backend);
  if (!engine.ok()) return;
  SmallArena arena;
  graft::ContextOptions options;
  options.allocator = &arena;
  const auto context = graft::Context::Create(*engine, options);
  if (!context.ok()) return;
  for (const int64_t size : {1, 3, 0}) RunWith(**engine, **context, size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  BuildAndRun(input);
  // Hashes keep the fuzzer out of the metadata: here they are always right.
  const std::string weights(256, '\1');
  const graft::NewSection sections[] = {{graft::SectionKind::kMetadata, {{0, input}}},
                                        {graft::SectionKind::kWeights, {{0, weights}}}};
  BuildAndRun(graft::WriteContainer(sections).Joined());
  return 0;
}
