// A backend for tests whose tactics do whatever a test asks of them. Its arithmetic is simple on
// purpose: every result is the sum of the node's operands (each repeated to the result's size), a
// concatenation or a copy.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>

#include "backend_api/adopts_packed.h"
#include "backend_api/backend.h"
#include "backend_api/host_device.h"

namespace graft::testing {

class TestTactic final : public Tactic, public AdoptsPacked {
 public:
  std::string tactic_name;
  int tactic_version = 1;
  std::string packing_name;
  TacticTraits traits;
  size_t workspace = 0;
  std::function<bool(const BoundNode&)> takes = [](const BoundNode&) { return true; };
  mutable std::atomic<int> packs{0};
  mutable std::atomic<int> binds{0};
  mutable std::atomic<int> runs{0};
  std::function<void()> on_run = [] {};
  std::function<bool(const ir::Node&)> accepts = [](const ir::Node&) { return true; };
  double cost = 1;
  // With traits.prepares: what Prepare gives begins with this, and Bind wants what it gives.
  std::string blob = "blob";
  mutable std::atomic<int> prepares{0};

  std::string_view name() const override { return tactic_name; }
  int version() const override { return tactic_version; }
  std::string_view packing() const override { return packing_name; }
  std::optional<Refusal> Accepts(const ir::Module&, const ir::Node& node) const override {
    if (!accepts(node)) return Refuse("{}: not this node", node.name);
    return std::nullopt;
  }
  TacticTraits Traits(const ir::Module&, const ir::Node&) const override { return traits; }
  double Cost(const BoundNode&) const override { return cost; }

  struct Packed final : PackedWeights {
    std::vector<float> values;
    std::vector<std::span<const std::byte>> regions() const override {
      return {std::as_bytes(std::span(values))};
    }
  };
  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor&) const override {
    ++packs;
    auto packed = std::make_unique<Packed>();
    const std::span<const float> data =
        module.value(node.inputs[traits.packed_inputs.at(0)]).constant->data<float>();
    packed->values.assign(data.begin(), data.end());
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  std::string PackedTarget() const override { return "here"; }
  Result<std::unique_ptr<PackedWeights>> Adopt(const ir::Module& module, const ir::Node& node,
                                               std::shared_ptr<const std::byte> bytes,
                                               size_t size) const override {
    const Tensor& constant = *module.value(node.inputs[traits.packed_inputs.at(0)]).constant;
    if (size != constant.bytes()) return DataLossError("{} bytes", size);
    auto packed = std::make_unique<Packed>();
    packed->values.resize(size / sizeof(float));
    std::memcpy(packed->values.data(), bytes.get(), size);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view prepared) const override {
    if (!takes(node)) return UnsupportedError("not this shape");
    if (traits.prepares && prepared.empty()) return UnsupportedError("nothing prepared");
    if (traits.prepares && prepared != blob + ProblemString(node))
      return DataLossError("not what was prepared");
    ++binds;
    return std::unique_ptr<BoundStep>(new Step(*this, node, static_cast<const Packed*>(packed)));
  }

  Result<std::string> Prepare(const BoundNode& node, const PackedWeights*) const override {
    ++prepares;
    return blob + ProblemString(node);
  }

 private:
  struct Step final : BoundStep {
    const TestTactic& tactic;
    BoundNode node;
    const Packed* packed;
    Step(const TestTactic& t, BoundNode n, const Packed* p)
        : tactic(t), node(std::move(n)), packed(p) {}
    size_t workspace_bytes(int) const override { return tactic.workspace; }

    static float& At(const BoundValue& v, void* data, int64_t i) {
      const int64_t columns = v.dims.empty() ? 1 : v.dims.back();
      return static_cast<float*>(data)[i / columns * v.row_stride + i % columns];
    }
    Status Enqueue(const StepPointers& p, const Queue& queue) const override {
      ++tactic.runs;
      if (tactic.workspace) std::memset(p.workspace, 0xee, tactic.workspace);
      const BoundValue& out = node.outputs[0];
      queue.executor->ParallelFor(1, [&](int64_t, int) {
        tactic.on_run();
        if (const auto* concat = std::get_if<ir::ConcatAttributes>(&node.attributes)) {
          Concat(p, static_cast<size_t>(concat->axis));
          return;
        }
        for (int64_t i = 0; i < CountElements(out.dims); ++i) {
          float sum = 0;
          for (size_t k = 0; k < node.inputs.size(); ++k) {
            const BoundValue& in = node.inputs[k];
            const int64_t j = i % CountElements(in.dims);
            const bool is_packed = packed && tactic.traits.packed_inputs[0] == static_cast<int>(k);
            sum += is_packed ? packed->values[j] : At(in, const_cast<void*>(p.inputs[k]), j);
          }
          At(out, p.outputs[0], i) = sum;
        }
      });
      return OkStatus();
    }
    void Concat(const StepPointers& p, size_t axis) const {
      int64_t outer = 1;
      for (size_t i = 0; i < axis; ++i) outer *= node.outputs[0].dims[i];
      int64_t at = 0;
      const int64_t total = CountElements(node.outputs[0].dims) / outer;
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        const int64_t count = CountElements(node.inputs[k].dims) / outer;
        for (int64_t o = 0; o < outer; ++o) {
          std::memcpy(static_cast<float*>(p.outputs[0]) + o * total + at,
                      static_cast<const float*>(p.inputs[k]) + o * count, count * sizeof(float));
        }
        at += count;
      }
    }
  };
};

// The host, with a cache of a size of the test's. It may pass for a device with memory of its own.
class TestDevice final : public HostDevice {
 public:
  bool accessible = true;
  bool host_accessible() const override { return accessible; }
  size_t cache = SIZE_MAX;
  std::vector<const std::byte*> evicted;

  size_t cache_bytes() const override { return cache; }
  void Evict(std::span<const std::byte> memory) override {
    evicted.push_back(memory.data());
    HostDevice::Evict(memory);
  }
};

class TestBackend final : public Backend {
 public:
  TestTactic& Add(std::string name) {
    auto& tactic = tactics_[name];
    tactic = std::make_unique<TestTactic>();
    tactic->tactic_name = std::move(name);
    return *tactic;
  }
  std::string_view name() const override { return "test"; }
  TestDevice& device() override { return device_; }
  std::vector<const Tactic*> Tactics(const ir::Module&, const ir::Node&) const override {
    std::vector<const Tactic*> tactics;
    for (const auto& [name, tactic] : tactics_) tactics.push_back(tactic.get());
    return tactics;
  }
  const Tactic* FindTactic(std::string_view name) const override {
    const auto found = tactics_.find(std::string(name));
    return found == tactics_.end() ? nullptr : found->second.get();
  }
  std::string Fingerprint() const override { return "test"; }
  bool on_executor = true;
  bool uses_executor() const override { return on_executor; }

 private:
  TestDevice device_;
  std::map<std::string, std::unique_ptr<TestTactic>> tactics_;
};

}  // namespace graft::testing
