#include "backends/cpu/cpu_backend.h"

#include <unistd.h>

#include <fstream>

#include "backend_api/host_device.h"
#include "backends/cpu/tactics.h"
#include "kernels/cpu/targets.h"

namespace graft {
namespace {

std::string ProcessorModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

class Cpu final : public Backend {
 public:
  Cpu() {
    cpu::AddConvTactics(table_);
    cpu::AddMatMulTactics(table_);
    cpu::AddTableTactics(table_);
  }

  std::string_view name() const override { return "cpu"; }
  Device& device() override { return device_; }

  std::vector<const Tactic*> Tactics(const ir::Module&, const ir::Node& node) const override {
    std::vector<const Tactic*> tactics;
    for (const cpu::TacticEntry& entry : table_) {
      if (entry.op == node.kind()) tactics.push_back(entry.tactic.get());
    }
    return tactics;
  }

  const Tactic* FindTactic(std::string_view name) const override {
    for (const cpu::TacticEntry& entry : table_) {
      if (entry.tactic->name() == name) return entry.tactic.get();
    }
    return nullptr;
  }

  std::string Fingerprint() const override {
    return fmt::format("cpu {} [{}] l1 {} l2 {} l3 {} onednn {}", cpu::SupportedTargets().front(),
                       ProcessorModel(), sysconf(_SC_LEVEL1_DCACHE_SIZE),
                       sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE),
                       cpu::OnednnVersion());
  }

 private:
  HostDevice device_;
  cpu::TacticTable table_;
};

}  // namespace

Backend& CpuBackend() {
  static Cpu backend;
  return backend;
}

}  // namespace graft
