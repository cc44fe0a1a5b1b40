// Through libgraft.so alone, as a program of somebody else's uses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <new>
#include <thread>

#include "graft/convert.h"
#include "graft/engine.h"

namespace {
thread_local bool no_memory = false;
}  // namespace

// The library's allocations come here too. The sanitizers bring their own of each form that is not
// here, which do not go with these.
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return no_memory ? nullptr : std::malloc(size ? size : 1);
}
[[gnu::noinline]] void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace graft::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// relu(x · w + b) with a dynamic batch on the reference backend.
constexpr char kPlan[] = "test/fuzz/seeds/plan/dense.plan";
// Inputs f32[n,8,8,3] and i32[1], the first dimension of the second output; it needs an arena.
constexpr char kTwoStages[] = "test/data/plans/version-1/model.plan";

TEST(CApi, RunsAPlan) {
  const Result<Engine> engine = Engine::Load(kPlan);
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  EXPECT_EQ(engine->inputs()[0].name, "x:0");
  EXPECT_THAT(engine->inputs()[0].dims, ElementsAre(-1, 2));
  EXPECT_EQ(engine->outputs()[0].binding_name, "TensorRTOutputPH_0");
  EXPECT_EQ(engine->FindOutput("y"), 0);
  EXPECT_EQ(engine->FindInput("y"), std::nullopt);
  EXPECT_STREQ(graft_engine_backend(engine->get()), "reference");

  Result<Context> context = Context::Create(*engine, 1);
  ASSERT_TRUE(context.ok());
  const float x[] = {1, 2, -9, -9};
  for (int64_t batch : {1, 2, 1}) {
    const auto outputs = context->Run({{1, {batch, 2}, x}});
    ASSERT_TRUE(outputs.ok()) << outputs.status().message();
    const OutputTensor& y = outputs->at(0);
    EXPECT_THAT(y.dims, ElementsAre(batch, 3));
    EXPECT_THAT(std::vector<float>(y.data<float>(), y.data<float>() + 3), ElementsAre(10, 14, 18));
  }
  const auto wrong = context->Run({{1, {1, 3}, x}});
  EXPECT_EQ(wrong.status().code(), GRAFT_INVALID_ARGUMENT);
  EXPECT_THAT(wrong.status().message(), HasSubstr("x:0"));
}

TEST(CApi, SharesEngines) {
  const Result<Engine> a = Engine::Load(kPlan);
  const Result<Engine> b = Engine::Load(kPlan);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(graft_engine_registry_size(), 1);
}

TEST(CApi, FindsNothingWithoutMemory) {
  const Result<Engine> engine = Engine::Load(kPlan);
  ASSERT_TRUE(engine.ok());
  const char name[] = "a name that no engine has, long enough to need memory of its own";
  no_memory = true;
  const int32_t input = graft_engine_find_input(engine->get(), name);
  const int32_t output = graft_engine_find_output(engine->get(), name);
  no_memory = false;
  EXPECT_EQ(input, -1);
  EXPECT_EQ(output, -1);
}

TEST(CApi, ReportsErrors) {
  const Result<Engine> missing = Engine::Load("/nonexistent.plan");
  EXPECT_EQ(missing.status().code(), GRAFT_NOT_FOUND);
  EXPECT_THAT(missing.status().message(), HasSubstr("/nonexistent.plan"));
  EXPECT_EQ(Engine::FromBytes("not a plan", 10).status().code(), GRAFT_DATA_LOSS);
}

TEST(CApi, TellsTheDeviceAndHasItsMemory) {
  const Result<Engine> loaded = Engine::Load(kPlan);
  ASSERT_TRUE(loaded.ok());
  const graft_engine* const engine = loaded->get();
  EXPECT_EQ(graft_engine_device(engine), 0);
  EXPECT_EQ(graft_engine_space(engine), GRAFT_SPACE_HOST);
  void* memory = nullptr;
  ASSERT_EQ(graft_device_allocate(engine, 8, nullptr, &memory), nullptr);
  const char text[8] = "device";
  char back[8] = {};
  EXPECT_EQ(
      graft_device_copy(engine, memory, GRAFT_SPACE_DEVICE, text, GRAFT_SPACE_HOST, 8, nullptr),
      nullptr);
  EXPECT_EQ(
      graft_device_copy(engine, back, GRAFT_SPACE_HOST, memory, GRAFT_SPACE_DEVICE, 8, nullptr),
      nullptr);
  EXPECT_STREQ(back, text);
  EXPECT_EQ(graft_stream_wait(engine, nullptr, nullptr), nullptr);
  EXPECT_EQ(graft_stream_synchronize(engine, nullptr), nullptr);
  EXPECT_EQ(graft_device_free(engine, memory, nullptr), nullptr);
  graft_status* const status = graft_device_copy(engine, back, 7, text, 0, 8, nullptr);
  EXPECT_THAT(graft_status_message(status), HasSubstr("no memory space 7"));
  graft_status_free(status);
}

TEST(CApi, AnEngineIsForTheDeviceThatIsNamed) {
  graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
  graft_engine* engine = nullptr;
  for (const auto& [name, text] : {std::pair{"cpu", "the plan is for reference, not for cpu"},
                                   {"reference:1", "reference has no device 1"},
                                   {"reference:x", "device 'reference:x'"}}) {
    options.device_name = name;
    graft_status* const status = graft_engine_load(kPlan, &options, &engine);
    EXPECT_THAT(graft_status_message(status), HasSubstr(text));
    EXPECT_EQ(engine, nullptr);
    graft_status_free(status);
  }
  options.device_name = "reference:0";
  ASSERT_EQ(graft_engine_load(kPlan, &options, &engine), nullptr);
  graft_engine_free(engine);
}

TEST(CApi, AnEngineIsMadeOfBytesThatAreCopiedOrStay) {
  alignas(64) static char plan[1 << 16];
  std::ifstream file(kPlan, std::ios::binary);
  file.read(plan, sizeof(plan));
  const auto size = static_cast<size_t>(file.gcount());
  graft_engine* engine = nullptr;
  for (const auto from : {&graft_engine_from_bytes, &graft_engine_from_mapped_bytes}) {
    ASSERT_EQ(from(plan, size, nullptr, &engine), nullptr);
    EXPECT_EQ(graft_engine_input_count(engine), 1);
    graft_engine_free(engine);
    const Status status(from(plan, size / 2, nullptr, &engine));
    EXPECT_NE(status.code(), GRAFT_OK);
    EXPECT_EQ(engine, nullptr);
  }
}

TEST(CApi, RunsOnTheCallersPool) {
  const Result<Engine> engine = Engine::Load(kPlan);
  ASSERT_TRUE(engine.ok());
  graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
  options.threads = 2;
  options.schedule = [](void*, void (*closure)(void*), void* argument) {
    std::thread(closure, argument).detach();
  };
  graft_context* context = nullptr;
  ASSERT_EQ(graft_context_create(engine->get(), &options, &context), nullptr);
  const float x[] = {1, 2};
  const int64_t dims[] = {1, 2};
  graft_tensor input = GRAFT_TENSOR_INIT;
  input.dtype = 1;
  input.rank = 2;
  input.dims = dims;
  input.data = x;
  float y[3] = {};
  const auto allocate = [](void* state, const graft_output_request* request,
                           graft_output_memory* memory) {
    EXPECT_EQ(request->space, GRAFT_SPACE_HOST);
    EXPECT_EQ(request->bytes, 12u);
    memory->data = state;
  };
  EXPECT_EQ(graft_context_run(context, &input, 1, allocate, y), nullptr);
  EXPECT_THAT(y, ElementsAre(10, 14, 18));
  const auto refuse = [](void*, const graft_output_request*, graft_output_memory*) {};
  const Status status(graft_context_run(context, &input, 1, refuse, nullptr));
  EXPECT_EQ(status.code(), GRAFT_RESOURCE_EXHAUSTED);
  // The work is done when it returns, whatever the stream.
  std::fill(std::begin(y), std::end(y), 0.0f);
  EXPECT_EQ(graft_context_enqueue(context, &input, 1, allocate, y, nullptr), nullptr);
  EXPECT_THAT(y, ElementsAre(10, 14, 18));
  graft_context_free(context);
}

TEST(CApi, ReadsStructsOfTheCallersSize) {
  const Result<Engine> engine = Engine::Load(kPlan);
  ASSERT_TRUE(engine.ok());
  Result<Context> made = Context::Create(*engine, 1);
  ASSERT_TRUE(made.ok());
  graft_context* context = made->get();
  struct Larger {
    graft_tensor tensor;
    char later[24];
  };
  const float x[] = {1, 2};
  const int64_t dims[] = {1, 2};
  Larger input = {GRAFT_TENSOR_INIT, {}};
  input.tensor.struct_size = sizeof(Larger);
  input.tensor.dtype = 1;
  input.tensor.rank = 2;
  input.tensor.dims = dims;
  input.tensor.data = x;
  float y[3] = {};
  const auto allocate = [](void* state, const graft_output_request*, graft_output_memory* memory) {
    memory->data = state;
  };
  EXPECT_EQ(graft_context_run(context, &input.tensor, 1, allocate, y), nullptr);
  EXPECT_THAT(y, ElementsAre(10, 14, 18));
  for (const int32_t dtype : {257, -255}) {
    input.tensor.dtype = dtype;
    EXPECT_EQ(Status(graft_context_run(context, &input.tensor, 1, allocate, y)).code(),
              GRAFT_INVALID_ARGUMENT);
  }
  input.tensor.dtype = 1;
  input.tensor.rank = -1;
  EXPECT_EQ(Status(graft_context_run(context, &input.tensor, 1, allocate, y)).code(),
            GRAFT_INVALID_ARGUMENT);
  input.tensor.rank = 2;
  EXPECT_EQ(graft_context_run(context, &input.tensor, 1, allocate, y), nullptr);
  input.tensor.space = 7;
  EXPECT_EQ(Status(graft_context_run(context, &input.tensor, 1, allocate, y)).code(),
            GRAFT_INVALID_ARGUMENT);
  input.tensor.space = GRAFT_SPACE_HOST;
  input.tensor.struct_size = 0;
  EXPECT_EQ(Status(graft_context_run(context, &input.tensor, 1, allocate, y)).code(),
            GRAFT_INVALID_ARGUMENT);
}

TEST(CApi, RefusesOptionsWithoutASize) {
  graft_engine_options engine_options = GRAFT_ENGINE_OPTIONS_INIT;
  engine_options.struct_size = 0;
  graft_engine* engine = nullptr;
  EXPECT_EQ(Status(graft_engine_load("no.plan", &engine_options, &engine)).code(),
            GRAFT_INVALID_ARGUMENT);
  const Result<Engine> loaded = Engine::Load(kPlan);
  ASSERT_TRUE(loaded.ok());
  graft_context_options context_options = GRAFT_CONTEXT_OPTIONS_INIT;
  context_options.struct_size = 0;
  graft_context* context = nullptr;
  EXPECT_EQ(Status(graft_context_create(loaded->get(), &context_options, &context)).code(),
            GRAFT_INVALID_ARGUMENT);
}

TEST(CApi, WorksInTheCallersMemory) {
  const Result<Engine> engine = Engine::Load(kTwoStages);
  ASSERT_TRUE(engine.ok());
  struct Pool {
    int living = 0;
    int given = 0;
  } pool;
  graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
  options.threads = 1;
  options.memory_per_run = 1;
  options.allocator_state = &pool;
  options.allocate = [](void* state, size_t bytes, void*) {
    ++static_cast<Pool*>(state)->living;
    ++static_cast<Pool*>(state)->given;
    return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  };
  graft_context* context = nullptr;
  EXPECT_EQ(Status(graft_context_create(engine->get(), &options, &context)).code(),
            GRAFT_INVALID_ARGUMENT);
  options.deallocate = [](void* state, void* memory, void*) {
    --static_cast<Pool*>(state)->living;
    std::free(memory);
  };
  ASSERT_EQ(graft_context_create(engine->get(), &options, &context), nullptr);
  const std::vector<float> x(8 * 8 * 3, 1.0f);
  const int32_t size[] = {2};
  const int64_t x_dims[] = {1, 8, 8, 3}, size_dims[] = {1};
  graft_tensor inputs[] = {GRAFT_TENSOR_INIT, GRAFT_TENSOR_INIT};
  inputs[0].dtype = 1, inputs[0].rank = 4, inputs[0].dims = x_dims, inputs[0].data = x.data();
  inputs[1].dtype = 3, inputs[1].rank = 1, inputs[1].dims = size_dims, inputs[1].data = size;
  std::vector<std::vector<char>> outputs(engine->outputs().size());
  const auto allocate = [](void* state, const graft_output_request* request,
                           graft_output_memory* memory) {
    std::vector<char>& output = (*static_cast<decltype(outputs)*>(state))[request->output];
    output.resize(request->bytes);
    memory->data = output.data();
  };
  int given = 0;
  for (int i = 1; i < 3; ++i) {
    EXPECT_EQ(graft_context_run(context, inputs, 2, allocate, &outputs), nullptr);
    if (i == 1) given = pool.given;
    EXPECT_GT(given, 0);
    EXPECT_EQ(pool.given, i * given);
    EXPECT_EQ(pool.living, 0);
  }
  graft_context_free(context);
}

// A GraphDef by hand, since nothing here knows of protocol buffers.
std::string Field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string Attr(const std::string& name, const std::string& value) {
  return Field(5, Field(1, name) + Field(2, value));
}

std::string Node(const std::string& name, const std::string& op, const std::string& rest) {
  return Field(1, Field(1, name) + Field(2, op) + rest);
}

// x: float [?, 4] → Neg → Exp → Tanh "y".
std::string ThreeNodes() {
  const std::string f32("\x30\x01", 2);  // type: DT_FLOAT
  const std::string unknown = Field(2, "\x08" + std::string(9, '\xff') + "\x01");
  const std::string four = Field(2, std::string("\x08\x04", 2));
  const auto unary = [&](const char* name, const char* op, const char* input) {
    return Node(name, op, Field(3, input) + Attr("T", f32));
  };
  return Node("x", "Placeholder", Attr("dtype", f32) + Attr("shape", Field(7, unknown + four))) +
         unary("a", "Neg", "x") + unary("b", "Exp", "a") + unary("y", "Tanh", "b") +
         Field(4, std::string("\x08\x80\x08", 3));  // versions: producer 1024
}

TEST(CApi, ConvertsAGraph) {
  ConversionParams params;
  params.max_cached_engines = 5;
  const Result<Converted> converted =
      ConvertAndBuild(ThreeNodes(), {"x"}, {"y"}, {{{1, 4}}, {{8, 4}}}, params);
  ASSERT_TRUE(converted.ok()) << converted.status().message();
  EXPECT_THAT(converted->graph_def, HasSubstr("TRTEngineOp"));
  EXPECT_THAT(converted->report, HasSubstr("\"engines\":1"));

  params.convert_to_static_engine = false;
  const Result<Converted> unbuilt = ConvertAndBuild(ThreeNodes(), {"x"}, {"y"}, {}, params);
  ASSERT_TRUE(unbuilt.ok()) << unbuilt.status().message();
  EXPECT_THAT(unbuilt->report, HasSubstr("\"engines\":1"));
  EXPECT_LT(unbuilt->graph_def.size(), converted->graph_def.size());
}

TEST(CApi, SaysWhatAConversionLacks) {
  const auto error = [](const Result<Converted>& converted) {
    return converted.ok() ? "" : converted.status().message();
  };
  EXPECT_THAT(error(ConvertAndBuild("no graph", {"x"}, {"y"}, {})), testing::Not(""));
  EXPECT_THAT(error(ConvertAndBuild(ThreeNodes(), {"x"}, {"z"}, {})), HasSubstr("'z"));
  EXPECT_THAT(error(ConvertAndBuild(ThreeNodes(), {"\"q\n"}, {"y"}, {{{1, 4}}})),
              HasSubstr("no input is '\"q\n'"));
  EXPECT_THAT(error(ConvertAndBuild(ThreeNodes(), {"x"}, {"y"}, {{{1, 4}, {1}}})),
              HasSubstr("no input is ''"));
  ConversionParams params;
  params.precision_mode = "FP8";
  EXPECT_THAT(error(ConvertAndBuild(ThreeNodes(), {"x"}, {"y"}, {}, params)), HasSubstr("FP8"));
}

}  // namespace
}  // namespace graft::api
