// A device that is not there: the reference kernels behind everything that makes a real device
// hard. Its memory faults when the host touches it, its queue works later on another thread, every
// constant is packed and every step needs workspace. What runs here makes no use of luck.
#pragma once

#include "backend_api/backend.h"
#include "backends/fake_device/fake_device.h"

namespace graft {

Backend& FakeDeviceBackend();
// Of that backend, for its memory and its counts.
fake_device::FakeDevice& TheFakeDevice();

}  // namespace graft
