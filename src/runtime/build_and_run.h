// Hostile plans, for tests and the fuzzer: engines are made of any bytes, and run in little memory.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "plan/container.h"
#include "plan/plan_file.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"

namespace graft::testing {

// Memory for outputs and arenas, up to a limit.
class SmallArena : public ArenaAllocator {
 public:
  static constexpr size_t kGranted = size_t{1} << 20;
  Result<void*> Allocate(size_t bytes, void*) override {
    if (bytes > kGranted) return ResourceExhaustedError("{} bytes", bytes);
    return std::aligned_alloc(64, (std::max<size_t>(bytes, 1) + 63) / 64 * 64);
  }
  void Free(void* memory, void*) override { std::free(memory); }
};

// Runs the engine on inputs of bytes that are small numbers, its symbols being `size`.
inline Status RunSmall(const Engine& engine, Context& context, SmallArena& arena, int64_t size) {
  const std::vector<int64_t> symbols(engine.module().symbols.size(), size);
  std::vector<Tensor> inputs;
  std::vector<TensorView> views;
  for (const ir::ValueId id : engine.module().inputs) {
    const ir::Value& value = engine.module().value(id);
    Dims dims;
    for (const ir::Dim& d : value.shape) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t n, d.Evaluate(symbols));
      dims.push_back(n);
    }
    const int64_t elements = CountElements(dims);
    if (elements < 0 || elements > static_cast<int64_t>(SmallArena::kGranted / 8))
      return ResourceExhaustedError("an input of {} elements", elements);
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(value.dtype, dims));
    auto* bytes = reinterpret_cast<uint8_t*>(tensor.mutable_raw());
    for (size_t i = 0; i < tensor.bytes(); ++i)
      bytes[i] = i % SizeOf(value.dtype) == 0 ? static_cast<uint8_t>(size) : 0;
    inputs.push_back(std::move(tensor));
    views.push_back(ViewOf(inputs.back()));
  }
  std::vector<void*> outputs;
  const auto give = [&](const OutputRequest& request) -> Result<OutputMemory> {
    GRAFT_ASSIGN_OR_RETURN(void* const memory, arena.Allocate(request.bytes, nullptr));
    outputs.push_back(memory);
    return OutputMemory{memory};
  };
  Status status = context.Run(views, give);
  for (void* memory : outputs) arena.Free(memory, nullptr);
  return status;
}

// The number of runs that an engine of the bytes made; 0 where they are refused.
inline int BuildAndRun(std::string_view metadata, const ReadPlanOptions& options = {}) {
  const std::string weights(256, '\1'), packed(1024, '\1');
  const NewSection sections[] = {{SectionKind::kMetadata, {{0, metadata}}},
                                 {SectionKind::kWeights, {{0, weights}}},
                                 {SectionKind::kPacked, {{0, packed}}}};
  const std::string file = WriteContainer(sections).Joined();
  // At a boundary as a file's mapping is, and the sanitizer stands at its end.
  constexpr std::align_val_t kAligned{kBufferAlignment};
  const std::shared_ptr<std::byte> copy(
      static_cast<std::byte*>(::operator new(file.size(), kAligned)),
      [=](std::byte* bytes) { ::operator delete(bytes, kAligned); });
  std::memcpy(copy.get(), file.data(), file.size());
  Result<Plan> plan = ReadPlan({copy, file.size()}, options);
  if (!plan.ok()) return 0;
  const Result<Backend*> backend = FindBackend(plan->backend);
  if (!backend.ok() || !(*backend)->device().host_accessible()) return 0;
  const auto engine = Engine::Create(*std::move(plan), **backend);
  if (!engine.ok()) return 0;
  SmallArena arena;
  const auto context = Context::Create(*engine, {.allocator = &arena});
  if (!context.ok()) return 0;
  int runs = 0;
  for (const int64_t size : {1, 3, 0})
    runs += RunSmall(**engine, **context, arena, size).ok() ? 1 : 0;
  return runs;
}

}  // namespace graft::testing
