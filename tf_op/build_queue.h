// Work that no call waits for: done one piece after the other by one thread that only runs when the
// processor has nothing else to do. The thread ends when there is nothing left. A process that ends
// waits for the piece that is being done and drops the others.
#pragma once

#include <functional>

namespace graft_tf {

void RunWhenIdle(std::function<void()> work);

// To be called when the process is about to end, at the latest when it does: drops what waits, and
// waits for what is being done. What comes later is dropped too.
void StopWork();

}  // namespace graft_tf
