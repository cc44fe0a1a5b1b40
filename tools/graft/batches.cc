#include "batches.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <ranges>
#include <set>
#include <type_traits>

#include "base/dtype_visit.h"
#include "base/release_pages.h"
#include "command.h"
#include "npy.h"
#include "npz.h"
#include "tf/record_file.h"
#include "tf/wire.h"

namespace graft {

std::string Batches::NameOf(int64_t batch) const {
  return samples_ == 1 ? fmt::format("{}: sample {}", path_, batch)
                       : fmt::format("{}: samples from {}", path_, batch * samples_);
}

void Batches::Count(int64_t samples, int64_t of_batch, const std::vector<bool>& given) {
  samples_ = of_batch;
  bool is_fixed = false;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const tf::Shape& shape = inputs_[i].shape;
    if (!given[i] || shape.unknown_rank || shape.dims.empty() || shape.dims[0] <= 0) continue;
    samples_ = shape.dims[0];
    is_fixed = true;
  }
  if (samples > 0) count_ = (is_fixed ? samples : samples + samples_ - 1) / samples_;
}

Result<Tensor> Batches::Checked(Tensor tensor, size_t i, const std::string& where) const {
  const tf::Endpoint& input = inputs_[i];
  if (tensor.dtype() == input.dtype) return tensor;
  if (tensor.dtype() == StorageOf(input.dtype)) return tensor.Retyped(input.dtype);
  return InvalidArgumentError("{}: {} is {}, not {}", where, input.key, Name(tensor.dtype()),
                              Name(input.dtype));
}

namespace {

namespace fs = std::filesystem;

class Cases final : public Batches {
 public:
  using Batches::Batches;
  static Result<std::unique_ptr<Batches>> Open(std::string folder, int64_t,
                                               std::vector<tf::Endpoint> inputs,
                                               std::vector<Tensor> defaults) {
    auto cases = std::make_unique<Cases>(std::move(folder), std::move(inputs), std::move(defaults));
    GRAFT_RETURN_IF_ERROR(cases->Find());
    return std::unique_ptr<Batches>(std::move(cases));
  }

  std::string NameOf(int64_t batch) const override {
    return fmt::format("{}/{}_in_*.npy", path_, cases_[batch]);
  }
  Result<std::vector<Tensor>> Read(int64_t batch) const override {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const std::string path =
          fmt::format("{}/{}_in_{}.npy", path_, cases_[batch], FileNameOf(inputs_[i].key));
      std::error_code ignored;
      if (defaults_[i].valid() && !fs::exists(path, ignored)) {
        tensors.push_back(defaults_[i]);
        continue;
      }
      GRAFT_ASSIGN_OR_RETURN(Tensor read, ReadNpy(path));
      GRAFT_ASSIGN_OR_RETURN(tensors.emplace_back(), Checked(std::move(read), i, path));
    }
    return tensors;
  }

 private:
  Status Find() {
    std::error_code error;
    std::set<std::string> cases;
    for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
      const std::string name = entry.path().filename();
      const size_t at = name.find("_in_");
      if (at != std::string::npos && name.ends_with(".npy")) cases.insert(name.substr(0, at));
    }
    if (error) return NotFoundError("{}: {}", path_, error.message());
    cases_.assign(cases.begin(), cases.end());
    count_ = static_cast<int64_t>(cases_.size());
    return OkStatus();
  }

  std::vector<std::string> cases_;
};

// Arrays by the inputs' names. What was read of them need not stay in memory.
class Arrays final : public Batches {
 public:
  using Batches::Batches;
  static Result<std::unique_ptr<Batches>> Open(std::string path, int64_t samples,
                                               std::vector<tf::Endpoint> inputs,
                                               std::vector<Tensor> defaults) {
    auto arrays = std::make_unique<Arrays>(std::move(path), std::move(inputs), std::move(defaults));
    GRAFT_RETURN_IF_ERROR(arrays->Find(samples));
    return std::unique_ptr<Batches>(std::move(arrays));
  }

  Result<std::vector<Tensor>> Read(int64_t batch) const override {
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (arrays_[i].valid()) {
        GRAFT_ASSIGN_OR_RETURN(tensors.emplace_back(), Cut(arrays_[i], batch * samples_));
      } else {
        tensors.push_back(defaults_[i]);
      }
    }
    ReleasePages(file_);
    return tensors;
  }

 private:
  Status Find(int64_t samples) {
    GRAFT_ASSIGN_OR_RETURN(Npz npz, OpenNpz(path_));
    file_ = std::move(npz.file);
    const auto& arrays = npz.arrays;
    int64_t count = -1;
    std::vector<bool> given;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const tf::Endpoint& input = inputs_[i];
      const Tensor* found = arrays.size() == 1 && inputs_.size() == 1 ? &arrays[0].second : nullptr;
      for (const auto& [name, tensor] : arrays) {
        if (name == input.key || name == input.tensor) found = &tensor;
      }
      given.push_back(found != nullptr);
      if (found == nullptr && defaults_[i].valid()) {
        arrays_.emplace_back();
        continue;
      }
      if (found == nullptr) {
        return NotFoundError("{}: no array '{}' there, but {}", path_, input.key,
                             fmt::join(std::views::keys(arrays), ", "));
      }
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Checked(*found, i, path_));
      if (tensor.rank() == 0) return InvalidArgumentError("{}: {} is a scalar", path_, input.key);
      if (count >= 0 && tensor.dims()[0] != count)
        return InvalidArgumentError("{}: {} and {} samples", path_, count, tensor.dims()[0]);
      count = tensor.dims()[0];
      arrays_.push_back(std::move(tensor));
    }
    Count(count, samples, given);
    return OkStatus();
  }
  Result<Tensor> Cut(const Tensor& all, int64_t begin) const {
    Dims dims = all.dims();
    dims[0] = std::min(samples_, dims[0] - begin);
    const size_t sample = all.bytes() / static_cast<size_t>(all.dims()[0]);
    GRAFT_ASSIGN_OR_RETURN(Tensor part, Tensor::Allocate(all.dtype(), std::move(dims)));
    std::memcpy(part.mutable_raw(), all.raw() + static_cast<size_t>(begin) * sample, part.bytes());
    return part;
  }

  FileBytes file_;              // that the arrays share
  std::vector<Tensor> arrays_;  // by input; invalid for one that has its default
};

// Whether a float becomes an integer of the type when its fraction is cut off.
template <class T, class From>
bool Holds(From x) {
  if constexpr (std::is_integral_v<T> && std::is_floating_point_v<From>) {
    const double whole = std::trunc(static_cast<double>(x));
    return whole >= static_cast<double>(std::numeric_limits<T>::min()) &&
           whole < static_cast<double>(std::numeric_limits<T>::max()) + 1;
  } else {
    return true;
  }
}

// What was read need not stay in memory.
class Records final : public Batches {
 public:
  Records(tf::RecordFile file, std::string path, std::vector<tf::Endpoint> inputs,
          std::vector<Tensor> defaults)
      : Batches(std::move(path), std::move(inputs), std::move(defaults)), file_(std::move(file)) {}
  static Result<std::unique_ptr<Batches>> Open(std::string path, int64_t samples,
                                               std::vector<tf::Endpoint> inputs,
                                               std::vector<Tensor> defaults) {
    GRAFT_ASSIGN_OR_RETURN(tf::RecordFile file, tf::RecordFile::Open(path));
    auto records = std::make_unique<Records>(std::move(file), std::move(path), std::move(inputs),
                                             std::move(defaults));
    records->Count(records->file_.records(), samples,
                   std::vector<bool>(records->inputs_.size(), true));
    return std::unique_ptr<Batches>(std::move(records));
  }

  Result<std::vector<Tensor>> Read(int64_t batch) const override {
    std::vector<std::vector<Tensor>> samples(inputs_.size());
    const int64_t begin = batch * samples_;
    const int64_t end = std::min(begin + samples_, file_.records());
    for (int64_t record = begin; record < end; ++record) {
      const auto add = [&]() -> Status {
        GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, file_.Read(record));
        GRAFT_ASSIGN_OR_RETURN(const tf::Example example, tf::ParseExample(bytes.view()));
        for (size_t i = 0; i < inputs_.size(); ++i) {
          GRAFT_ASSIGN_OR_RETURN(samples[i].emplace_back(), SampleOf(example, i));
        }
        return OkStatus();
      };
      GRAFT_RETURN_IF_ERROR(add().WithContext(fmt::format("{}: record {}", path_, record)));
    }
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(tensors.emplace_back(), Stacked(samples[i], i));
    }
    file_.Release();
    return tensors;
  }

 private:
  // Numbers of the input's dtype: a list of floats or integers, or bytes, which are a serialized
  // tensor (tf.io.serialize_tensor). Invalid for an input that has its default.
  Result<Tensor> SampleOf(const tf::Example& example, size_t i) const {
    const tf::Endpoint& input = inputs_[i];
    const tf::Example::Feature* feature = example.Find(input.key);
    if (feature == nullptr) feature = example.Find(input.tensor);
    if (feature == nullptr && inputs_.size() == 1 && example.features.size() == 1)
      feature = &example.features[0].second;
    if (feature == nullptr && defaults_[i].valid()) return Tensor();
    if (feature == nullptr) return NotFoundError("no feature '{}' there", input.key);
    if (const auto* bytes = std::get_if<std::vector<std::string>>(feature)) {
      if (bytes->size() != 1)
        return InvalidArgumentError("{}: {} strings of bytes instead of 1", input.key,
                                    bytes->size());
      Result<tf::TensorValue> value = tf::TensorValue::Parse(tf::CopyBytes((*bytes)[0]));
      if (!value.ok()) {
        return InvalidArgumentError(
            "{}: its bytes are no serialized tensor (pictures have to be decoded first): {}",
            input.key, value.status().message());
      }
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, value->Decode());
      return Checked(std::move(tensor), i, "its tensor");
    }
    const auto* floats = std::get_if<std::vector<float>>(feature);
    return floats != nullptr ? Numbers(*floats, input)
                             : Numbers(std::get<std::vector<int64_t>>(*feature), input);
  }
  template <class From>
  static Result<Tensor> Numbers(const std::vector<From>& numbers, const tf::Endpoint& input) {
    GRAFT_ASSIGN_OR_RETURN(Dims dims, DimsOfSample(input, static_cast<int64_t>(numbers.size())));
    const DType storage = StorageOf(input.dtype);
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(storage, std::move(dims)));
    const From* other = nullptr;  // that the dtype does not hold
    const bool made = TryVisitDType(kNumberTypes, storage, [&]<class T>(T) {
      const std::span<T> to = tensor.mutable_data<T>();
      for (size_t i = 0; i < numbers.size() && other == nullptr; ++i) {
        if (Holds<T>(numbers[i])) {
          to[i] = static_cast<T>(numbers[i]);
        } else {
          other = &numbers[i];
        }
      }
    });
    if (!made)
      return InvalidArgumentError("{}: {} numbers make no {}", input.key, numbers.size(),
                                  Name(input.dtype));
    if (other != nullptr)
      return InvalidArgumentError("{}: {} is no {}", input.key, *other, Name(input.dtype));
    return tensor.Retyped(input.dtype);
  }
  // A sample is the input without its first dimension. One unknown dimension follows from the rest.
  static Result<Dims> DimsOfSample(const tf::Endpoint& input, int64_t count) {
    if (input.shape.unknown_rank || input.shape.dims.empty())
      return InvalidArgumentError("{}: an input without a rank takes serialized tensors only",
                                  input.key);
    Dims dims(input.shape.dims.begin() + 1, input.shape.dims.end());
    int64_t known = 1;
    bool fits = true;
    int64_t* unknown = nullptr;
    for (int64_t& d : dims) {
      if (d >= 0) {
        fits = !__builtin_mul_overflow(known, d, &known) && fits;
      } else if (unknown == nullptr) {
        unknown = &d;
      } else {
        return InvalidArgumentError("{}: of two unknown dimensions {} numbers say nothing",
                                    input.key, count);
      }
    }
    if (unknown != nullptr) {
      fits = fits && known > 0 && count % known == 0;
      if (fits) *unknown = count / known;
    } else {
      fits = fits && known == count;
    }
    if (!fits)
      return InvalidArgumentError("{}: {} numbers, which are no {}", input.key, count,
                                  fmt::join(input.shape.dims, "x"));
    return dims;
  }
  // Samples of equal dimensions, one after the other.
  Result<Tensor> Stacked(const std::vector<Tensor>& samples, size_t i) const {
    if (!samples[0].valid()) return defaults_[i];
    Dims dims = samples[0].dims();
    dims.insert(dims.begin(), static_cast<int64_t>(samples.size()));
    GRAFT_ASSIGN_OR_RETURN(Tensor all, Tensor::Allocate(samples[0].dtype(), std::move(dims)));
    auto* to = static_cast<std::byte*>(all.mutable_raw());
    for (const Tensor& sample : samples) {
      if (!sample.valid() || sample.dims() != samples[0].dims()) {
        return InvalidArgumentError(
            "{}: samples of {} differ in their dimensions; ask for batches of 1", path_,
            inputs_[i].key);
      }
      std::memcpy(to, sample.raw(), sample.bytes());
      to += sample.bytes();
    }
    return all;
  }

  tf::RecordFile file_;
};

}  // namespace

Result<std::unique_ptr<Batches>> OpenBatches(const std::string& path, int64_t samples,
                                             std::vector<tf::Endpoint> inputs,
                                             std::vector<Tensor> defaults) {
  std::error_code ignored;
  // By its name: a record file has no mark of its own.
  const bool is_records = path.ends_with(".tfrecord") || path.ends_with(".tfrecords");
  const auto open = fs::is_directory(path, ignored) ? Cases::Open
                    : is_records                    ? Records::Open
                                                    : Arrays::Open;
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Batches> batches,
                         open(path, samples, std::move(inputs), std::move(defaults)));
  if (batches->count() == 0) return InvalidArgumentError("{}: no data there", path);
  return batches;
}

}  // namespace graft
