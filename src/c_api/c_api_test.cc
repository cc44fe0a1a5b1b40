// Through libgraft.so alone, as a program of somebody else's uses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "graft/engine.h"

namespace graft::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// relu(x · w + b) with a dynamic batch on the reference backend.
constexpr char kPlan[] = "test/fuzz/seeds/plan/dense.plan";

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

TEST(CApi, ReportsErrors) {
  const Result<Engine> missing = Engine::Load("/nonexistent.plan");
  EXPECT_EQ(missing.status().code(), GRAFT_NOT_FOUND);
  EXPECT_THAT(missing.status().message(), HasSubstr("/nonexistent.plan"));
  EXPECT_EQ(Engine::FromBytes("not a plan", 10).status().code(), GRAFT_DATA_LOSS);
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
  const graft_tensor input = {1, 2, dims, x};
  float y[3] = {};
  const auto allocate = [](void* state, int32_t, int32_t, const int64_t*, int32_t, size_t) {
    return state;
  };
  EXPECT_EQ(graft_context_run(context, &input, 1, allocate, y), nullptr);
  EXPECT_THAT(y, ElementsAre(10, 14, 18));
  const auto refuse = [](void*, int32_t, int32_t, const int64_t*, int32_t, size_t) -> void* {
    return nullptr;
  };
  const Status status(graft_context_run(context, &input, 1, refuse, nullptr));
  EXPECT_EQ(status.code(), GRAFT_RESOURCE_EXHAUSTED);
  graft_context_free(context);
}

}  // namespace
}  // namespace graft::api
