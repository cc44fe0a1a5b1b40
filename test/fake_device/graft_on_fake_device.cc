// The graft program with the fake device among its backends.
//
//   graft_on_fake_device [--half-steps] COMMAND …
//
// --half-steps: convert chooses steps in FP16 among those in FP32 (fake_device_backend.h).
#include <string_view>

#include "fake_device/fake_device_backend.h"
#include "graft/program.h"
#include "runtime/backend_table.h"

int main(int argc, char** argv) {
  graft::AddBackendForTests("fake_device", graft::FindFakeDeviceBackend);
  if (argc > 1 && argv[1] == std::string_view("--half-steps")) {
    graft::PreferHalfSteps(true);
    argv[1] = argv[0];
    --argc, ++argv;
  }
  return graft::RunProgram(argc, argv);
}
