// What happens where there is no driver, an old one, no memory, or work fails on the card: with a
// driver of the test's own.
#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using testing::HasSubstr;

// What the probe prints with the libcuda.so.1 of a folder.
std::string Probe(const std::string& folder, const std::string& mode,
                  const std::string& argument = "") {
  const char* const path = std::getenv("LD_LIBRARY_PATH");
  const std::string command = "LD_LIBRARY_PATH=" + folder + ":" + (path ? path : "") +
                              " GRAFT_STUB=" + mode + " " GRAFT_STUB_PROBE " " + argument + " 2>&1";
  FILE* const pipe = popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << text;
  return text;
}

bool NoCompiler(const std::string& text) {
  return text.find("no run-time compiler") != std::string::npos;
}
#define SKIP_WITHOUT_COMPILER(text) \
  if (NoCompiler(text)) GTEST_SKIP() << "libnvrtc.so.13 is not on this machine"

TEST(StubDriver, AbsentIsSaidOnce) {
  const std::string text = Probe(GRAFT_BROKEN_FOLDER, "none");
  EXPECT_THAT(text, HasSubstr("backend: there is no NVIDIA driver: "));
}

TEST(StubDriver, OldNamesBothVersions) {
  EXPECT_THAT(Probe(GRAFT_STUB_FOLDER, "old"),
              HasSubstr("backend: the NVIDIA driver is for CUDA 12.8, 13.0 is needed\n"));
}

TEST(StubDriver, NoCard) {
  EXPECT_THAT(Probe(GRAFT_STUB_FOLDER, "no_device"),
              HasSubstr("backend: there is no NVIDIA device\n"));
}

TEST(StubDriver, Works) {
  const std::string text = Probe(GRAFT_STUB_FOLDER, "none");
  SKIP_WITHOUT_COMPILER(text);
  EXPECT_EQ(
      text,
      "backend: ok\nsecond card: there is no device cuda:1: this machine has 1\nmemory: ok\n"
      "stream: ok\nwait: ok\nrecord: ok\nevent: ok\nbegin: ok\npart: ok\nend: ok\nlaunch: ok\n"
      "end of the program: ok\n");
}

TEST(StubDriver, OutOfMemoryIsAStatus) {
  const std::string text = Probe(GRAFT_STUB_FOLDER, "memory");
  SKIP_WITHOUT_COMPILER(text);
  EXPECT_THAT(text,
              HasSubstr("memory: CUDA: MemAlloc: out of memory (CUDA_ERROR_OUT_OF_MEMORY)\n"));
  EXPECT_THAT(text, HasSubstr("end of the program: ok\n"));
}

TEST(StubDriver, WorkThatFailsIsAStatusOfItsStream) {
  const std::string text = Probe(GRAFT_STUB_FOLDER, "async");
  SKIP_WITHOUT_COMPILER(text);
  EXPECT_THAT(text, HasSubstr("wait: CUDA: StreamSynchronize: an illegal memory access"));
  EXPECT_THAT(text, HasSubstr("event: CUDA: EventSynchronize: an illegal memory access"));
  EXPECT_THAT(text, HasSubstr("end of the program: ok\n"));
}

TEST(StubDriver, AForkedChildIsTold) {
  const std::string text = Probe(GRAFT_STUB_FOLDER, "none", "fork");
  SKIP_WITHOUT_COMPILER(text);
  EXPECT_THAT(text, HasSubstr("child: this process was forked from one that uses CUDA"));
  EXPECT_THAT(text, HasSubstr("child's memory: this process was forked"));
  EXPECT_THAT(text, HasSubstr("\nmemory: ok\n"));
}

}  // namespace
