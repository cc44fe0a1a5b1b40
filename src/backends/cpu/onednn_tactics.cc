// oneDNN's convolutions, as sequential code: primitives are made and run with OpenMP width 1, so
// that no team is ever formed, and blocks of rows are handed out by our executor. A product with a
// constant matrix is a 1×1 convolution of an image one pixel wide.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "backends/cpu/conv_problem.h"
#include "backends/cpu/dense_step.h"
#include "backends/cpu/packed_bytes.h"
#include "backends/cpu/tactics.h"
#include "base/aligned_buffer.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {
namespace {

using dnnl::memory;
using Forward = dnnl::convolution_forward;

constexpr auto kFloat = memory::data_type::f32;
// Blocks of rows an image is cut into for two workers, and for more.
constexpr int64_t kPairBlocks = 2;
constexpr int64_t kRowBlocks = 4;
// Below this, handing work to another worker costs more than it saves.
constexpr double kParallelMultiplyAdds = 4e5;

// The thread's OpenMP width is 1 in this scope. oneDNN enters no parallel region then.
class SequentialScope {
 public:
  SequentialScope() : width_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SequentialScope() { omp_set_num_threads(width_); }
  SequentialScope(const SequentialScope&) = delete;
  SequentialScope& operator=(const SequentialScope&) = delete;

 private:
  int width_;
};

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// No exception of oneDNN leaves this file.
template <class Function>
auto Guard(const std::string& node, Function&& function) -> decltype(function()) {
  try {
    return function();
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return UnsupportedError("{}: oneDNN: {}", node, e.what());
    if (e.status == dnnl_out_of_memory) {
      return ResourceExhaustedError("{}: oneDNN: {}", node, e.what());
    }
    return InternalError("{}: oneDNN: {}", node, e.what());
  } catch (const std::bad_alloc&) {
    return ResourceExhaustedError("{}: no memory for oneDNN", node);
  }
}

// How the filter's operand lies in memory: elements between neighbours.
struct FilterStrides {
  int64_t input;
  int64_t output;
  int64_t column;
  int64_t row;
};

// Grouped filters have one more dimension, the first.
memory::dims FilterDims(const ConvFilter& f) {
  memory::dims dims = {f.group_outputs(), f.group_inputs(), f.kernel[1], f.kernel[2]};
  if (f.groups > 1) dims.insert(dims.begin(), f.groups);
  return dims;
}

memory::desc FilterDesc(const ConvFilter& f, const FilterStrides& s) {
  memory::dims strides = {s.output, s.input, s.row, s.column};
  if (f.groups > 1) strides.insert(strides.begin(), f.group_outputs() * s.output);
  return {FilterDims(f), kFloat, strides};
}

// The filter, in each form that a primitive asked for. Which form that is depends on the shape.
class OnednnWeights final : public PackedWeights {
 public:
  explicit OnednnWeights(Tensor weights) : weights_(std::move(weights)) {}

  std::vector<std::span<const std::byte>> regions() const override {
    const std::scoped_lock lock(mutex_);
    std::vector<std::span<const std::byte>> all = {{weights_.raw(), weights_.bytes()}};
    for (const memory& form : forms_) {
      all.emplace_back(static_cast<const std::byte*>(form.get_data_handle()),
                       form.get_desc().get_size());
    }
    return all;
  }
  memory In(const memory::desc& form, const memory::desc& plain) const {
    const std::scoped_lock lock(mutex_);
    for (const memory& known : forms_) {
      if (known.get_desc() == form) return known;
    }
    // oneDNN never writes to it.
    memory source(plain, Engine(), const_cast<std::byte*>(weights_.raw()));
    memory target(form, Engine());
    dnnl::stream stream(Engine());
    dnnl::reorder(source, target).execute(stream, source, target);
    stream.wait();
    forms_.push_back(target);
    return target;
  }

 private:
  Tensor weights_;
  mutable std::mutex mutex_;
  mutable std::vector<memory> forms_;
};

// What one call of a primitive hands over. oneDNN allocates each of these objects, so they are kept
// for later calls, which set their own addresses.
struct Arguments {
  Arguments(const Forward::primitive_desc& desc, const memory& weights,
            const memory::desc& residual_desc)
      : stream(Engine()) {
    const auto add = [&](int argument, const memory::desc& form) -> memory {
      if (form.get_size() == 0 && argument != DNNL_ARG_SCRATCHPAD) return {};
      memory made(form, Engine(), nullptr);
      list.push_back({argument, made.get()});
      return made;
    };
    source = add(DNNL_ARG_SRC, desc.src_desc());
    target = add(DNNL_ARG_DST, desc.dst_desc());
    scratchpad = add(DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc());
    bias = add(DNNL_ARG_BIAS, desc.bias_desc());
    if (residual_desc)
      residual = add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, residual_desc);
    list.push_back({DNNL_ARG_WEIGHTS, weights.get()});
  }

  dnnl::stream stream;
  memory source, target, scratchpad, bias, residual;
  std::vector<dnnl_exec_arg_t> list;
};
struct ArgumentsSlot {
  std::atomic<bool> taken = false;
  std::unique_ptr<Arguments> arguments;  // made by the first call that takes the slot
};

// A primitive on some images, rows [begin, end) of their outputs.
struct Block {
  static constexpr size_t kSlots = 8;

  Forward primitive;
  Forward::primitive_desc desc;
  memory weights;
  memory::desc residual;
  int64_t images;
  int64_t begin;
  int64_t end;
  int64_t first_input_row;
  std::unique_ptr<ArgumentsSlot[]> slots;

  // Calls use(arguments) with some that nobody else uses meanwhile: the first ones, whoever works,
  // so that a call alone needs one slot.
  template <class Use>
  void WithArguments(Use&& use) const {
    for (size_t i = 0; i < kSlots; ++i) {
      ArgumentsSlot& slot = slots[i];
      if (slot.taken.exchange(true, std::memory_order_acquire)) continue;
      if (!slot.arguments) slot.arguments = std::make_unique<Arguments>(desc, weights, residual);
      use(*slot.arguments);
      slot.taken.store(false, std::memory_order_release);
      return;
    }
    Arguments made(desc, weights, residual);
    use(made);
  }
};

// One run of a block.
struct Call {
  size_t block;
  int64_t image;
};

struct Schedule {
  std::vector<Block> blocks;
  std::vector<Call> calls;
};

// A window of `rows` by `columns` pixels of images of the given size.
memory::desc ImageDesc(int64_t images, int64_t channels, int64_t rows, int64_t columns,
                       const Spatial& size, int64_t stride) {
  // One image has no neighbour, and oneDNN is fast on tensors without gaps alone.
  const int64_t image = images == 1 ? rows * columns : size[1] * size[2];
  return {{images, channels, rows, columns}, kFloat, {image * stride, 1, size[2] * stride, stride}};
}

Block MakeBlock(const ConvProblem& p, const BoundEpilogue::Form& form, int64_t images,
                int64_t begin, int64_t end, const OnednnWeights& weights,
                const memory::desc& plain) {
  const ConvFilter& f = p.filter;
  const int64_t extent_y = (f.kernel[1] - 1) * f.dilation[1] + 1;
  const int64_t extent_x = (f.kernel[2] - 1) * f.dilation[2] + 1;
  const int64_t top = begin * f.stride[1] - p.pad[1];
  const int64_t bottom = (end - 1) * f.stride[1] - p.pad[1] + extent_y;
  const int64_t right = (p.output[2] - 1) * f.stride[2] - p.pad[2] + extent_x;
  const int64_t first = std::clamp<int64_t>(top, 0, p.input[1] - 1);
  // The last block keeps the rows that no window reaches: oneDNN ignores them, but images must
  // follow one another without gaps.
  const int64_t last =
      end == p.output[1] ? p.input[1] : std::clamp<int64_t>(bottom, first + 1, p.input[1]);
  const int64_t pad_bottom = std::max<int64_t>(0, bottom - last);
  const int64_t pad_right = std::max<int64_t>(0, right - p.input[2]);

  dnnl::post_ops post_ops;
  memory::desc residual;
  if (form.residual) {
    residual = ImageDesc(images, f.output_channels, end - begin, p.output[2], p.output,
                         form.residual_stride);
    post_ops.append_binary(dnnl::algorithm::binary_add, residual);
  }
  if (form.low == 0 && std::isinf(form.high)) {
    post_ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
  } else if (!std::isinf(form.low) || !std::isinf(form.high)) {
    post_ops.append_eltwise(dnnl::algorithm::eltwise_clip, form.low, form.high);
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(post_ops);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);

  const Forward::primitive_desc desc(
      Engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      ImageDesc(images, f.input_channels, last - first, p.input[2], p.input, p.input_stride),
      memory::desc(FilterDims(f), kFloat, memory::format_tag::any),
      form.bias ? memory::desc({f.output_channels}, kFloat, memory::format_tag::a) : memory::desc(),
      ImageDesc(images, f.output_channels, end - begin, p.output[2], p.output, p.output_stride),
      {f.stride[1], f.stride[2]}, {f.dilation[1] - 1, f.dilation[2] - 1}, {first - top, p.pad[2]},
      {pad_bottom, pad_right}, attributes);
  return {Forward(desc), desc,   weights.In(desc.weights_desc(), plain),
          residual,      images, begin,
          end,           first,  std::make_unique<ArgumentsSlot[]>(Block::kSlots)};
}

class OnednnStep final : public DenseStep {
 public:
  // `schedules` for one worker, for two, for more; the last of them serves any number beyond.
  OnednnStep(std::string name, ConvProblem problem, BoundEpilogue epilogue,
             std::vector<Schedule> schedules)
      : DenseStep(std::move(epilogue)),
        name_(std::move(name)),
        problem_(problem),
        schedules_(std::move(schedules)) {
    for (const Schedule& schedule : schedules_) {
      for (const Block& block : schedule.blocks) {
        scratchpad_ = std::max(scratchpad_, AlignUp(block.desc.scratchpad_desc().get_size()));
      }
    }
  }

 protected:
  size_t kernel_workspace_bytes(int width) const override { return scratchpad_ * width; }
  Status Compute(const StepPointers& pointers, const Epilogue& epilogue, void* sums,
                 std::byte* workspace, Executor& executor) const override {
    const Schedule& schedule =
        schedules_[std::min(static_cast<size_t>(executor.width()), schedules_.size()) - 1];
    std::atomic<bool> failed = false;
    executor.ParallelFor(static_cast<int64_t>(schedule.calls.size()), [&](int64_t i, int worker) {
      const Call& call = schedule.calls[i];
      const Status called = Guard(name_, [&] {
        Run(schedule.blocks[call.block], call.image, pointers, epilogue, sums,
            workspace + scratchpad_ * worker, worker);
        return OkStatus();
      });
      if (!called.ok()) failed = true;
    });
    return failed ? InternalError("{}: oneDNN failed", name_) : OkStatus();
  }

 private:
  void Run(const Block& block, int64_t image, const StepPointers& pointers,
           const Epilogue& epilogue, void* sums, void* scratchpad, int worker) const {
    const ConvProblem& p = problem_;
    const SequentialScope sequential;
    const int64_t input_row = image * p.input[1] + block.first_input_row;
    const int64_t row = (image * p.output[1] + block.begin) * p.output[2];
    dnnl_status_t status = dnnl_success;
    // oneDNN's handles are not const; it writes to the output alone.
    auto at = [](const void* base, int64_t element) {
      return const_cast<float*>(static_cast<const float*>(base)) + element;
    };
    block.WithArguments([&](Arguments& arguments) {
      arguments.source.set_data_handle(
          at(pointers.inputs[0], input_row * p.input[2] * p.input_stride));
      arguments.target.set_data_handle(at(sums, row * p.output_stride));
      arguments.scratchpad.set_data_handle(scratchpad);
      if (arguments.bias) arguments.bias.set_data_handle(at(epilogue.bias, 0));
      if (arguments.residual) {
        arguments.residual.set_data_handle(at(epilogue.residual, row * epilogue.residual_stride));
      }
      status =
          dnnl_primitive_execute(block.primitive.get(), arguments.stream.get(),
                                 static_cast<int>(arguments.list.size()), arguments.list.data());
      if (status == dnnl_success) status = dnnl_stream_wait(arguments.stream.get());
    });
    dnnl::error::wrap_c_api(status, "could not run a primitive");
    if (!epilogue.finish) return;
    for (int64_t i = 0; i < block.images; ++i) {
      (*epilogue.finish)({row + i * p.output_pixels(), (block.end - block.begin) * p.output[2], 0,
                          p.filter.output_channels},
                         worker);
    }
  }

  std::string name_;
  ConvProblem problem_;
  std::vector<Schedule> schedules_;
  size_t scratchpad_ = 0;
};

// Whole images, `images` at a time, in `row_blocks` blocks of rows.
Schedule MakeSchedule(const ConvProblem& p, const BoundEpilogue::Form& form, int64_t images,
                      int64_t row_blocks, const OnednnWeights& weights, const memory::desc& plain) {
  Schedule schedule;
  const int64_t rows = (p.output[1] + row_blocks - 1) / row_blocks;
  for (int64_t begin = 0; begin < p.output[1]; begin += rows) {
    schedule.blocks.push_back(
        MakeBlock(p, form, images, begin, std::min(p.output[1], begin + rows), weights, plain));
  }
  for (int64_t image = 0; image < p.batch; image += images) {
    for (size_t block = 0; block < schedule.blocks.size(); ++block) {
      schedule.calls.push_back({block, image});
    }
  }
  return schedule;
}

Result<std::unique_ptr<BoundStep>> BindConv(const BoundNode& node, ConvProblem p,
                                            const PointwiseProgram& program,
                                            const FilterStrides& strides,
                                            const PackedWeights* packed) {
  if (p.multiply_adds() == 0) return UnsupportedError("{}: nothing to multiply", node.name);
  GRAFT_ASSIGN_OR_RETURN(BoundEpilogue epilogue,
                         BoundEpilogue::Bind(node, program, DType::kFloat32, SumsIn::kOutput));
  p.output_stride = epilogue.sums_stride();
  return Guard(node.name, [&]() -> Result<std::unique_ptr<BoundStep>> {
    const SequentialScope sequential;
    const auto& weights = *static_cast<const OnednnWeights*>(packed);
    const memory::desc plain = FilterDesc(p.filter, strides);
    const BoundEpilogue::Form form = epilogue.form();
    std::vector<Schedule> schedules;
    schedules.push_back(MakeSchedule(p, form, p.batch, 1, weights, plain));
    if (p.multiply_adds() >= kParallelMultiplyAdds) {
      for (const int64_t blocks : {kPairBlocks, kRowBlocks}) {
        // Enough images are parts themselves.
        const int64_t row_blocks = p.batch >= blocks ? 1 : std::min(blocks, p.output[1]);
        schedules.push_back(MakeSchedule(p, form, 1, row_blocks, weights, plain));
      }
    }
    for (const Schedule& schedule : schedules) {
      for (const Block& block : schedule.blocks) {
        // Its plain loops are how oneDNN says that it has nothing better.
        if (std::string_view(block.desc.impl_info_str()).starts_with("ref")) {
          return UnsupportedError("{}: oneDNN has no fast convolution for this", node.name);
        }
      }
    }
    return std::unique_ptr<BoundStep>(
        std::make_unique<OnednnStep>(node.name, p, std::move(epilogue), std::move(schedules)));
  });
}

class OnednnTactic : public Tactic {
 public:
  explicit OnednnTactic(std::string_view name) : name_(name) {}
  std::string_view name() const override { return name_; }
  std::string_view packing() const override { return "onednn"; }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    TacticTraits traits;
    traits.packed_inputs = {1};
    traits.strided_inputs = true;
    traits.strided_output = true;
    traits.any_shape = false;
    traits.prepare_cost_ms = 5;
    return traits;
  }
  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor&) const override {
    GRAFT_ASSIGN_OR_RETURN(Tensor weights,
                           WeightsAs(DType::kFloat32, *module.value(node.inputs[1]).constant));
    return std::unique_ptr<PackedWeights>(std::make_unique<OnednnWeights>(std::move(weights)));
  }

 protected:
  template <class Attributes>
  static std::optional<Refusal> RefuseOperands(const ir::Module& module, const ir::Node& node,
                                               const Attributes& attributes) {
    const ir::Value& x = module.value(node.inputs[0]);
    const ir::Value& weights = module.value(node.inputs[1]);
    const DType sums = ir::AccumulatorOf(attributes, x.dtype);
    if (x.dtype != DType::kFloat32 || sums != DType::kFloat32 ||
        !CanPackAs(DType::kFloat32, weights)) {
      return Refuse("{}: {} by {}, sums in {}", node.name, Name(x.dtype), Name(weights.dtype),
                    Name(sums));
    }
    if (!weights.constant) return Refuse("{}: the weights are not a constant", node.name);
    return std::nullopt;
  }
  // Milliseconds, at a rate a little below that of kernels which serve any shape: untimed, those
  // are the better choice.
  static double CostOf(const ConvProblem& p) {
    // It computes whole vectors of output channels.
    const auto columns = static_cast<double>(CeilDiv(p.filter.output_channels, 16) * 16);
    const double weights = static_cast<double>(p.filter.depth()) * columns;
    return (static_cast<double>(p.rows()) * weights / 13 + weights / 2) / 3e6 + 0.002;
  }

 private:
  std::string_view name_;
};

class OnednnConv final : public OnednnTactic {
 public:
  OnednnConv() : OnednnTactic("cpu.conv.onednn") {}

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<ir::ConvAttributes>();
    if (auto refusal = RefuseOperands(module, node, attributes)) return refusal;
    if (attributes.strides.size() > 2) return Refuse("{}: three spatial dimensions", node.name);
    return RefuseEpilogue(module, node, attributes.epilogue, DType::kFloat32);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const ConvProblem p = MakeConvProblem<ir::ConvAttributes>(node);
    const int64_t tap = p.filter.group_inputs() * p.filter.output_channels;
    const FilterStrides strides = {p.filter.output_channels, 1, tap, p.filter.kernel[2] * tap};
    return BindConv(node, p, std::get<ir::ConvAttributes>(node.attributes).epilogue, strides,
                    packed);
  }
  double Cost(const BoundNode& node) const override {
    return CostOf(MakeConvProblem<ir::ConvAttributes>(node));
  }
};

class OnednnMatMul final : public OnednnTactic {
 public:
  OnednnMatMul() : OnednnTactic("cpu.matmul.onednn") {}

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<ir::MatMulAttributes>();
    if (auto refusal = RefuseOperands(module, node, attributes)) return refusal;
    if (attributes.transpose_a) return Refuse("{}: a transposed first matrix", node.name);
    if (module.value(node.inputs[1]).shape.size() != 2) {
      return Refuse("{}: more than one constant matrix", node.name);
    }
    return RefuseEpilogue(module, node, attributes.epilogue, DType::kFloat32);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
    const Dims& b = node.inputs[1].dims;
    const FilterStrides strides =
        attributes.transpose_b ? FilterStrides{1, b[1], 1, 1} : FilterStrides{b[1], 1, 1, 1};
    return BindConv(node, MakeProblem(node), attributes.epilogue, strides, packed);
  }
  double Cost(const BoundNode& node) const override { return CostOf(MakeProblem(node)); }

 private:
  static ConvProblem MakeProblem(const BoundNode& node) {
    const BoundValue& a = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    const int64_t rows = CountElements(std::span(a.dims).first(a.dims.size() - 1));
    ConvProblem p;
    p.filter.input_channels = a.dims.back();
    p.filter.output_channels = y.dims.back();
    p.input = {1, rows, 1};
    p.output = {1, rows, 1};
    p.input_stride = a.row_stride;
    p.output_stride = y.row_stride;
    return p;
  }
};

}  // namespace

void AddOnednnConvTactics(TacticTable& table) {
  table.push_back({ir::OpKind::kConv, std::make_unique<OnednnConv>()});
}

void AddOnednnMatMulTactics(TacticTable& table) {
  table.push_back({ir::OpKind::kMatMul, std::make_unique<OnednnMatMul>()});
}

std::string OnednnVersion() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace graft::cpu
