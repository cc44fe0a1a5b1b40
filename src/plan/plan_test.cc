#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "plan/container.h"
#include "plan/memory_planner.h"
#include "plan/plan_file.h"

namespace graft {
namespace {

using ::testing::HasSubstr;

FileBytes Bytes(const std::string& text) {
  Tensor tensor = *Tensor::Allocate(DType::kUint8, {static_cast<int64_t>(text.size())});
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(tensor.mutable_raw()));
  return {tensor.shared(), text.size()};
}

// relu(x · w + b) with a dynamic batch.
Plan DensePlan() {
  Plan plan;
  ir::Module& m = plan.module;
  ir::Symbol batch;
  batch.name = "x.0";
  const ir::SymbolId n = m.AddSymbol(batch);
  const ir::ValueId x = m.AddInput("x:0", DType::kFloat32, {ir::Dim::Symbol(n), 2});
  const ir::ValueId w = m.AddConstant("w", Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  const ir::ValueId b = m.AddConstant("b", Tensor::Of<float>({3}, {1, 2, 3}));
  ir::MatMulAttributes matmul;
  matmul.epilogue.inputs = 2;
  const int sum = matmul.epilogue.Add(PointwiseOp::kAdd, DType::kFloat32, 0, 1);
  matmul.epilogue.Add(PointwiseOp::kRelu, DType::kFloat32, sum);
  m.outputs = {m.node(*m.AddNode(matmul, {x, w, b}, "dense")).outputs[0]};
  m.output_names = {"y:0"};
  plan.backend = "reference";
  plan.choices.points = {{{1}}, {{8}}};
  plan.choices.steps = {{{{"reference.matmul", 1}}, {0, 0}}};
  plan.provenance = {"00ff", "--batch 1", "test", "graft 0"};
  return plan;
}

// DensePlan with a second output whose shape is a host value, a third whose number of rows is a
// result, and more tactics.
Plan SmallPlan() {
  Plan plan = DensePlan();
  ir::Module& m = plan.module;
  ir::Symbol length;
  length.kind = ir::Symbol::Kind::kHostValue;
  length.input = 1;
  length.name = "shape[0]";
  const ir::Dim k = ir::Dim::Symbol(m.AddSymbol(length));
  const ir::ValueId shape = m.AddInput("shape:0", DType::kInt32, {1});
  m.value(shape).contents = {k};
  const ir::ValueId zero = m.AddConstant("zero", Tensor::Scalar<float>(0));
  m.outputs.push_back(
      m.node(*m.AddNode(ir::BroadcastAttributes{{k * 2 + 1}}, {zero}, "fill")).outputs[0]);
  m.output_names.push_back("fill:0");
  ir::Symbol rows;
  rows.kind = ir::Symbol::Kind::kResultDim;
  rows.name = "where.0";
  rows.upper_bound = k * 2 + 1;
  const ir::Dim r = ir::Dim::Symbol(m.AddSymbol(rows));
  m.outputs.push_back(
      m.node(*m.AddNode(ir::WhereAttributes{r}, {m.outputs[1]}, "where")).outputs[0]);
  m.output_names.push_back("where:0");
  plan.choices.points = {{{1, 1, 3}}, {{8, 1, 3}}};
  plan.choices.steps = {{{{"matmul", 1}, {"matmul.generated", 3}}, {0, 1}},
                        {{{"fill", 1}}, {0, 0}},
                        {{{"where", 1}}, {0, 0}}};
  plan.input_defaults = {Tensor(), Tensor::Of<int32_t>({1}, {3})};
  return plan;
}

// Everything that a run depends on.
std::string Describe(const Plan& plan) {
  std::string text = ir::ToText(plan.module).value();
  for (ir::ValueId id = 0; id < plan.module.value_count(); ++id) {
    const ir::Value& value = plan.module.value(id);
    if (value.constant) text += ToHex(HashBytes(value.constant->raw(), value.constant->bytes()));
    text += fmt::format(" {} {} {}", value.name, value.low, value.high);
  }
  for (const StepChoice& step : plan.choices.steps) {
    for (const TacticChoice& t : step.tactics) text += fmt::format(" {}.{}", t.name, t.version);
  }
  for (const Tensor& tensor : plan.input_defaults) {
    text += tensor.valid() ? fmt::format(" {} {}", Describe(tensor.dtype(), tensor.dims()),
                                         ToHex(HashBytes(tensor.raw(), tensor.bytes())))
                           : " fed";
  }
  return text + plan.backend + plan.provenance.options;
}

TEST(PlanFile, RoundTrips) {
  const Plan plan = SmallPlan();
  const std::string file = *WritePlan(plan);
  const Result<Plan> read = ReadPlan(Bytes(file));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(Describe(*read), Describe(plan));
  EXPECT_EQ(read->choices, plan.choices);
  EXPECT_EQ(read->provenance, plan.provenance);
  EXPECT_EQ(*WritePlan(*read), file);
  for (ir::ValueId id = 0; id < read->module.value_count(); ++id) {
    const std::optional<Tensor>& constant = read->module.value(id).constant;
    if (!constant) continue;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(constant->raw()) % 64, 0u);
  }
}

// SmallPlan with constants that two tactics pack alike.
Plan PackedPlan() {
  Plan plan = SmallPlan();
  const Tensor bytes = Tensor::Of<float>({3}, {7, 8, 9});
  plan.packed = {{0, "matmul", 2, "AVX2", bytes.shared(), bytes.bytes(),
                  HashBytes(bytes.raw(), bytes.bytes())}};
  plan.packed.push_back(plan.packed[0]);
  plan.packed[1].tactic = "matmul.generated";
  return plan;
}

// The files of this version of the format stay readable, and the writer makes the same bytes. They
// are seeds of the fuzz target too. GRAFT_UPDATE=1 writes them anew, after a deliberate change.
TEST(PlanFile, KeepsItsFormat) {
  for (const auto& [name, made] : {std::pair("dense", DensePlan()), {"packed", PackedPlan()}}) {
    const std::string path = fmt::format("test/fuzz/seeds/plan/{}.plan", name);
    const std::string file = *WritePlan(made);
    if (std::getenv("GRAFT_UPDATE")) {
      ASSERT_TRUE(WriteFileAtomically(path, file).ok());
      // The fuzz target takes bare metadata too.
      const FileBytes bytes = Bytes(file);
      const std::vector<Section> sections = *ReadContainer(bytes);
      ASSERT_TRUE(WriteFileAtomically(fmt::format("test/fuzz/seeds/plan/{}.metadata", name),
                                      sections[0].bytes)
                      .ok());
    }
    const Result<Plan> plan = LoadPlan(path);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    EXPECT_EQ(Describe(*plan), Describe(made));
    EXPECT_EQ(ReadFile(path)->view(), file);
  }
}

// A default that is no value of its input, or not the one that was written, is refused by name.
TEST(PlanFile, DefaultsFitTheirInputs) {
  Plan plan = SmallPlan();
  EXPECT_TRUE(BitwiseEqual(ReadPlan(Bytes(*WritePlan(plan)))->input_defaults[1],
                           Tensor::Of<int32_t>({1}, {3})));
  const std::vector<Tensor> wrong = {Tensor::Of<int32_t>({2}, {3, 4}), Tensor::Scalar<int32_t>(3),
                                     Tensor::Of<int64_t>({2, 1}, {3, 4})};
  for (const Tensor& tensor : wrong) {
    plan.input_defaults[1] = tensor;
    EXPECT_THAT(WritePlan(plan).status().message(), HasSubstr("shape:0"));
  }
  plan.input_defaults = {Tensor(), Tensor(), Tensor()};
  EXPECT_THAT(WritePlan(plan).status().message(), HasSubstr("3 defaults for 2 inputs"));
}

TEST(PlanFile, StoresEqualWeightsOnce) {
  Plan plan = SmallPlan();
  Tensor big = *Tensor::Allocate(DType::kUint8, {100000});
  std::fill_n(big.mutable_data<uint8_t>().data(), 100000, uint8_t{7});
  for (int i = 0; i < 3; ++i) {
    plan.module.outputs.push_back(plan.module.AddConstant(fmt::format("c{}", i), big));
    plan.module.output_names.push_back(fmt::format("c{}", i));
  }
  EXPECT_LT(WritePlan(plan)->size(), 110000u);
}

TEST(PlanFile, RefusesEveryAlteredByteOrIsTheSame) {
  const std::string file = *WritePlan(SmallPlan());
  const std::string same = Describe(*ReadPlan(Bytes(file)));
  int refused = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string altered = file;
      altered[i] ^= flip;
      const Result<Plan> plan = ReadPlan(Bytes(altered));
      if (plan.ok()) {
        EXPECT_EQ(Describe(*plan), same) << "byte " << i;
      } else {
        EXPECT_FALSE(plan.status().message().empty());
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 2000);
}

// What tactics have prepared: at one tuning point of two, and nothing.
Plan PreparedPlan() {
  Plan plan = SmallPlan();
  plan.choices.steps[0].tactics[1].prepared = {"", "cubin"};
  plan.choices.steps[1].tactics[0].prepared = {"cubin", "other"};
  return plan;
}

TEST(PlanFile, KeepsWhatTacticsPrepared) {
  const Plan plan = PreparedPlan();
  const std::string file = *WritePlan(plan);
  const Result<Plan> read = ReadPlan(Bytes(file));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->choices, plan.choices);
  EXPECT_EQ(*WritePlan(*read), file);
  // Equal bytes are there once.
  EXPECT_EQ(file.find("cubin"), file.rfind("cubin"));
}

TEST(PlanFile, DamagedPreparedBytesAreLostAndNoMore) {
  std::string file = *WritePlan(PreparedPlan());
  file[file.find("cubin")] = 'C';
  Result<Plan> read = ReadPlan(Bytes(file));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  const StepChoice& step = read->choices.steps[1];
  EXPECT_EQ(step.tactics[0].prepared[0], std::nullopt);
  EXPECT_EQ(step.tactics[0].prepared[1], "other");
  EXPECT_EQ(read->choices.steps[0].tactics[1].prepared[0], "");
  // They stay lost.
  const Result<Plan> again = ReadPlan(Bytes(*WritePlan(*read)));
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->choices, read->choices);
}

TEST(PlanFile, KeepsPackedConstants) {
  const Plan plan = PackedPlan();
  const std::string file = *WritePlan(plan);
  EXPECT_NE(file, *WritePlan(SmallPlan()));
  const Result<Plan> read = ReadPlan(Bytes(file));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  ASSERT_EQ(read->packed.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const PackedConstants& packed = read->packed[i];
    EXPECT_EQ(packed.node, 0);
    EXPECT_EQ(packed.tactic, plan.packed[i].tactic);
    EXPECT_EQ(packed.version, 2);
    EXPECT_EQ(packed.target, "AVX2");
    EXPECT_EQ(packed.size, 12u);
    EXPECT_TRUE(HasItsHash(packed));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(packed.bytes.get()) % 64, 0u);
  }
  // Equal bytes are there once, in the file itself.
  EXPECT_EQ(read->packed[0].bytes.get(), read->packed[1].bytes.get());
  EXPECT_EQ(*WritePlan(*read), file);
}

TEST(PlanFile, DamagedPackedConstantsAreNotThePlans) {
  std::string file = *WritePlan(PackedPlan());
  file.back() ^= 1;
  const Result<Plan> read = ReadPlan(Bytes(file));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_FALSE(HasItsHash(read->packed[0]));
  ReadPlanOptions all;
  all.check_all_weights = true;
  const Status status = ReadPlan(Bytes(file), all).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("packed constants of dense"));
}

// Sections and metadata of two plans, mixed: what the metadata names is not there.
TEST(PlanFile, PackedConstantsLieInTheirSection) {
  const FileBytes file = Bytes(*WritePlan(PackedPlan()));
  const std::vector<Section> written = *ReadContainer(file);
  std::vector<NewSection> sections;
  for (const Section& section : written) sections.push_back({section.kind, {{0, section.bytes}}});
  ASSERT_EQ(sections.back().kind, SectionKind::kPacked);
  sections.back().pieces[0].bytes.remove_suffix(1);
  EXPECT_THAT(ReadPlan(Bytes(WriteContainer(sections).Joined())).status().message(),
              HasSubstr("packed constants 0: 12 bytes at 0"));
  sections.pop_back();
  EXPECT_EQ(ReadPlan(Bytes(WriteContainer(sections).Joined())).status().code(),
            StatusCode::kDataLoss);
}

TEST(PlanFile, RefusesEveryTruncation) {
  const std::string file = *WritePlan(SmallPlan());
  for (size_t size = 0; size < file.size(); ++size) {
    const Result<Plan> plan = ReadPlan(Bytes(file.substr(0, size)));
    ASSERT_FALSE(plan.ok()) << size;
    EXPECT_EQ(plan.status().code(), StatusCode::kDataLoss) << plan.status().ToString();
  }
  EXPECT_FALSE(ReadPlan(Bytes(file + "x")).ok());
}

TEST(PlanFile, NamesTheFieldThatOffends) {
  const std::string file = *WritePlan(SmallPlan());
  std::string newer = file;
  newer[8] = 99;
  const Status version = ReadPlan(Bytes(newer)).status();
  EXPECT_EQ(version.code(), StatusCode::kUnsupported);
  EXPECT_THAT(version.message(), HasSubstr("version 99"));
  // The last bytes are a default's, and those a multiple of 64 before them the last weight's.
  for (const auto& [back, name] : {std::pair(1, "default of shape:0"), {68, "weight zero"}}) {
    std::string altered = file;
    altered[file.size() - static_cast<size_t>(back)] ^= 1;
    const Status status = ReadPlan(Bytes(altered)).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr(name));
  }
}

TEST(PlanFile, TakesWeightsFromElsewhere) {
  const Plan plan = SmallPlan();
  WritePlanOptions write;
  write.external_name = [&](ir::ValueId id) { return "native/" + plan.module.value(id).name; };
  const std::string file = *WritePlan(plan, write);
  EXPECT_THAT(ReadPlan(Bytes(file)).status().message(), HasSubstr("native/w"));

  ReadPlanOptions read;
  std::map<std::string, Tensor> elsewhere;
  for (ir::ValueId id = 0; id < plan.module.value_count(); ++id) {
    const ir::Value& value = plan.module.value(id);
    if (value.constant) elsewhere["native/" + value.name] = *value.constant;
  }
  read.external_weight = [&](const std::string& name, auto fits) -> Result<Tensor> {
    if (elsewhere.contains(name)) return elsewhere[name];
    for (const auto& [other, tensor] : elsewhere) {
      if (fits(tensor)) return tensor;
    }
    return NotFoundError("{} is not there", name);
  };
  const Result<Plan> found = ReadPlan(Bytes(file), read);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(Describe(*found), Describe(plan));

  // Under another name and in another shape: the bytes decide.
  const Tensor b = elsewhere["native/b"];
  elsewhere["merged"] = b.Reshaped({1, b.elements()});
  elsewhere.erase("native/b");
  EXPECT_EQ(Describe(*ReadPlan(Bytes(file), read)), Describe(plan));

  elsewhere["native/b"] = Tensor::Of<float>({3}, {1, 2, 4});
  EXPECT_THAT(ReadPlan(Bytes(file), read).status().message(), HasSubstr("native/b"));
  elsewhere["native/b"] = Tensor::Of<float>({2}, {1, 2});
  EXPECT_THAT(ReadPlan(Bytes(file), read).status().message(), HasSubstr("f32[3]"));
}

TEST(PlanFile, RefusesToWriteWhatIsNotWhole) {
  Plan plan = SmallPlan();
  plan.choices.steps.pop_back();
  EXPECT_THAT(WritePlan(plan).status().message(), HasSubstr("2 steps for 3 nodes"));
}

TEST(Bindings, AreFoundByBothNames) {
  const Plan plan = SmallPlan();
  EXPECT_EQ(*FindInput(plan.module, "shape:0"), 1);
  EXPECT_EQ(*FindInput(plan.module, "shape"), 1);
  EXPECT_EQ(*FindInput(plan.module, "TensorRTInputPH_1"), 1);
  EXPECT_EQ(*FindOutput(plan.module, "TensorRTOutputPH_0"), 0);
  EXPECT_THAT(FindOutput(plan.module, "z").status().message(), HasSubstr("y:0, fill:0"));
}

TEST(MemoryPlanner, NeverOverlapsWhatLivesTogether) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<BufferRequest> requests(random() % 60);
    for (BufferRequest& r : requests) {
      r.bytes = random() % 5 == 0 ? 0 : random() % 5000;
      r.first = static_cast<int>(random() % 40);
      r.last = r.first + static_cast<int>(random() % 8);
    }
    const MemoryPlan plan = PlanMemory(requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const BufferRequest& a = requests[i];
      ASSERT_EQ(plan.offsets[i] % 64, 0u);
      ASSERT_LE(plan.offsets[i] + a.bytes, plan.bytes);
      for (size_t j = 0; j < i; ++j) {
        const BufferRequest& b = requests[j];
        const bool together = a.first <= b.last && b.first <= a.last && a.bytes && b.bytes;
        const bool apart = plan.offsets[i] + a.bytes <= plan.offsets[j] ||
                           plan.offsets[j] + b.bytes <= plan.offsets[i];
        ASSERT_TRUE(!together || apart) << "round " << round;
      }
    }
  }
}

TEST(MemoryPlanner, ReusesMemory) {
  // A chain: two buffers in turn.
  std::vector<BufferRequest> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({1024, i, i + 1});
  EXPECT_EQ(PlanMemory(chain).bytes, 2048u);
  // In use together or not as a function says.
  const size_t sizes[] = {100, 1000, 1000, 1000};
  const MemoryPlan plan = PlanMemory(sizes, [](int i, int j) { return (i ^ j) % 2 == 1; });
  EXPECT_EQ(plan.bytes, 2048u);
  EXPECT_EQ(plan.offsets[1], plan.offsets[3]);
}

TEST(Plan, TakesThePlaceOfFilesOnly) {
  const Plan plan = DensePlan();
  const std::string file = ::testing::TempDir() + "/behind.plan";
  const std::string link = ::testing::TempDir() + "/link.plan";
  std::filesystem::remove(link);
  std::filesystem::create_symlink(file, link);
  ASSERT_TRUE(WritePlanFile(plan, file).ok());
  ASSERT_TRUE(WritePlanFile(plan, link).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_TRUE(LoadPlan(file).ok());
  EXPECT_THAT(WritePlanFile(plan, ::testing::TempDir()).status().message(),
              HasSubstr("takes the place of a regular file only"));
}

TEST(Plan, IsReadBeforeItTakesItsPlace) {
  Plan plan = DensePlan();
  const std::string path = ::testing::TempDir() + "/unread.plan";
  ASSERT_TRUE(WritePlanFile(plan, path).ok());
  const std::string before = WritePlan(plan).value();
  const ir::ValueId label = plan.module.AddInput("label:0", DType::kString, {2});
  plan.module.outputs.push_back(label);
  plan.module.output_names.emplace_back("label:0");
  EXPECT_THAT(WritePlanFile(plan, path).status().message(), HasSubstr("label:0"));
  EXPECT_EQ(ReadFile(path)->view(), before);
  EXPECT_FALSE(ReadFile(path + ".unread").ok());
  std::remove(path.c_str());
}

}  // namespace
}  // namespace graft
