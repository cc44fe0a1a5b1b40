#include "runtime/engine_registry.h"

namespace graft {

EngineRegistry& EngineRegistry::Global() {
  // Never destroyed: engines may be held by statics that go later.
  static auto* const registry = new EngineRegistry;
  return *registry;
}

Result<std::shared_ptr<const Engine>> EngineRegistry::FindOrCreate(
    const Hash128& content, std::string_view device,
    FunctionRef<Result<std::shared_ptr<const Engine>>()> make) {
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    // Entries of engines that are gone stay until somebody adds one.
    std::erase_if(entries_, [](const auto& item) {
      return item.second.use_count() == 1 && item.second->engine.expired();
    });
    std::shared_ptr<Entry>& slot = entries_[{content, std::string(device)}];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::lock_guard lock(entry->making);
  if (std::shared_ptr<const Engine> engine = entry->engine.lock()) return engine;
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine, make());
  entry->engine = engine;
  return engine;
}

int EngineRegistry::size() const {
  std::lock_guard lock(mutex_);
  int living = 0;
  for (const auto& [key, entry] : entries_) living += !entry->engine.expired();
  return living;
}

}  // namespace graft
