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

TacticTable AllTactics() {
  TacticTable table;
  cpu::AddConvTactics(table);
  cpu::AddMatMulTactics(table);
  cpu::AddTableTactics(table);
  return table;
}

class Cpu final : public TableBackend {
 public:
  Cpu() : TableBackend(AllTactics()) {}

  std::string_view name() const override { return "cpu"; }
  Device& device() override { return device_; }

  std::string Fingerprint() const override {
    return fmt::format("cpu {} [{}] l1 {} l2 {} l3 {} onednn {}", cpu::SupportedTargets().front(),
                       ProcessorModel(), sysconf(_SC_LEVEL1_DCACHE_SIZE),
                       sysconf(_SC_LEVEL2_CACHE_SIZE), sysconf(_SC_LEVEL3_CACHE_SIZE),
                       cpu::OnednnVersion());
  }

 private:
  HostDevice device_;
};

}  // namespace

Backend& CpuBackend() {
  static Cpu backend;
  return backend;
}

}  // namespace graft
