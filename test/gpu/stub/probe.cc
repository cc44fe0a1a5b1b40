// Uses the CUDA backend a little and prints each status: what stub_test.cc looks at.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "backends/cuda/cuda_backend.h"

namespace {

void Print(const char* what, const graft::Status& status) {
  std::printf("%s: %s\n", what, status.ok() ? "ok" : status.message().c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const graft::Result<graft::Backend*> backend = graft::CudaBackend(0);
  Print("backend", backend.status());
  Print("second card", graft::CudaBackend(1).status());
  if (!backend.ok()) return 0;
  graft::Device& device = (*backend)->device();
  if (argc > 1 && std::strcmp(argv[1], "fork") == 0) {
    if (fork() == 0) {
      Print("child", graft::CudaBackend(0).status());
      Print("child's memory", device.Allocate(64).status());
      _exit(0);
    }
    wait(nullptr);
  }
  const graft::Result<void*> memory = device.Allocate(1024);
  Print("memory", memory.status());
  const graft::Result<void*> stream = device.CreateStream();
  Print("stream", stream.status());
  Print("wait", device.Synchronize(*stream));
  const graft::Result<void*> event = device.CreateEvent();
  Print("record", device.Record(*event, *stream));
  Print("event", device.SynchronizeEvent(*event));
  Print("begin", device.BeginRecording(*stream));
  Print("part", device.MarkPart(*stream, {}));
  auto recording = device.EndRecording(*stream);
  Print("end", recording.status());
  if (recording.ok()) Print("launch", (*recording)->Launch(*stream));
  device.DestroyEvent(*event);
  if (memory.ok()) device.Free(*memory);
  device.DestroyStream(*stream);
  Print("end of the program", graft::OkStatus());
}
