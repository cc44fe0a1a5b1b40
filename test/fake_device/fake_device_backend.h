// A device that is not there: the reference kernels behind everything that makes a real device
// hard. Its memory faults when the host touches it, its queue works later on another thread, every
// constant is packed and every step needs workspace. What runs here makes no use of luck.
#pragma once

#include "backend_api/backend.h"
#include "fake_device/fake_device.h"

namespace graft {

Backend& FakeDeviceBackend();
// As a row of the backend table has it: there is device 0.
Result<Backend*> FindFakeDeviceBackend(int device);
// From now on convolutions and products have steps as well that round operands and results to FP16:
// of every second value before those in FP32, of the others after them. Plans that name such steps
// run with this alone.
void PreferHalfSteps(bool prefer);
// How many steps were bound by what their tactics had prepared, which convolutions and products of
// f32 do.
int64_t PreparedSteps();
// Of that backend, for its memory and its counts.
fake_device::FakeDevice& TheFakeDevice();

}  // namespace graft
