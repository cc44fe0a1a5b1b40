// Batches of a model's inputs, out of a folder or file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "tf/endpoint.h"

namespace graft {

class Batches {
 public:
  Batches(std::string path, std::vector<tf::Endpoint> inputs, std::vector<Tensor> defaults)
      : path_(std::move(path)), inputs_(std::move(inputs)), defaults_(std::move(defaults)) {}
  virtual ~Batches() = default;

  int64_t count() const { return count_; }
  // Of a batch; the last one may have fewer.
  int64_t samples() const { return samples_; }
  // Where the batch comes from, for messages.
  virtual std::string NameOf(int64_t batch) const;
  // A tensor for each input: where there are no data for it, what it defaults to.
  virtual Result<std::vector<Tensor>> Read(int64_t batch) const = 0;

 protected:
  // `samples` in all, `of_batch` at once, unless an input for which `given` is true fixes its first
  // dimension: then a batch is that, and there is no smaller one at the end.
  void Count(int64_t samples, int64_t of_batch, const std::vector<bool>& given);
  // The tensor as input i, whose dtype it must have.
  Result<Tensor> Checked(Tensor tensor, size_t i, const std::string& where) const;

  std::string path_;
  std::vector<tf::Endpoint> inputs_;
  std::vector<Tensor> defaults_;  // by input; invalid where there is none
  int64_t count_ = 0;
  int64_t samples_ = 1;
};

// A folder of CASE_in_INPUT.npy, one batch each; a .tfrecord file of tf.train.Example, one sample
// each; or a .npz file of samples along the first axis. Of files `samples` make a batch.
// InvalidArgument where there are no data.
Result<std::unique_ptr<Batches>> OpenBatches(const std::string& path, int64_t samples,
                                             std::vector<tf::Endpoint> inputs,
                                             std::vector<Tensor> defaults);

}  // namespace graft
