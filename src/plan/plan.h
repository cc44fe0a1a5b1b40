// An engine at rest: the optimised module, what tuning chose for each of its nodes, and where it
// came from. Data, never code.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "backend_api/choices.h"
#include "base/hash.h"
#include "ir/binding_names.h"
#include "ir/module.h"

namespace graft {

// What a plan was made from and by, for people and for caches. No clock, host name or path: equal
// builds give equal bytes.
struct Provenance {
  std::string model_hash;   // of the model's bytes, hex
  std::string options;      // the conversion's options as text
  std::string fingerprint;  // Backend::Fingerprint() of the machine that tuned it
  std::string versions;     // of Graft and the libraries that were built in
  bool operator==(const Provenance&) const = default;
};

// This build's, as a plan records it. Libraries of a backend are in its fingerprint.
std::string BuildVersions();

// Constants whose bytes the reader has not compared with their hash yet: those of a large file,
// which are read when an engine is made of the plan.
struct UncheckedWeight {
  ir::ValueId value;
  Hash128 hash;
};

// A node's constants in the form that a tactic reads, so that an engine need not pack them. Used
// only by that version of the tactic where its AdoptsPacked::PackedTarget() is `target`; the
// constants themselves are in the module all the same.
struct PackedConstants {
  ir::NodeId node = -1;
  std::string tactic;
  int version = 0;
  std::string target;
  std::shared_ptr<const std::byte> bytes;  // at a 64-byte boundary; shares the file's memory
  size_t size = 0;
  Hash128 hash;  // which a reader has not compared: whoever uses the bytes does
};

struct Plan {
  ir::Module module;    // compacted
  std::string backend;  // Backend::name() of the backend that runs it
  Choices choices;      // one step for each node of the module
  Provenance provenance;
  // By input, what it is where the caller feeds nothing; an invalid tensor where something must be
  // fed. Empty: everything must.
  std::vector<Tensor> input_defaults;
  std::vector<PackedConstants> packed;

  // Set by the reader: names this plan's content (graph, choices and all weights), so equal engines
  // can be shared.
  Hash128 content;
  std::vector<UncheckedWeight> unchecked_weights;
};

// Compares the unchecked weights with their hashes, or one of them. DataLoss with the constant's
// name.
Status CheckWeights(const Plan& plan);
Status CheckWeight(const Plan& plan, const UncheckedWeight& weight);

// Whether the bytes are those that were written.
bool HasItsHash(const PackedConstants& packed);

// Whether the tensor can stand for the input: kInvalidArgument with what differs.
Status FitsInput(const ir::Module& module, size_t input, const Tensor& tensor);

// The position that `name` means: a binding name or the model's own. kNotFound lists what there is.
Result<int> FindInput(const ir::Module& module, std::string_view name);
Result<int> FindOutput(const ir::Module& module, std::string_view name);

}  // namespace graft
