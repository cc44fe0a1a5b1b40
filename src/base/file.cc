#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/aligned_buffer.h"
#include "base/destination.h"

namespace graft {
namespace {

Status SystemError(const std::string& path, std::string_view what) {
  const int error = errno;
  const StatusCode code = error == ENOENT   ? StatusCode::kNotFound
                          : error == ENOSPC ? StatusCode::kResourceExhausted
                          : error == ENOMEM ? StatusCode::kResourceExhausted
                                            : StatusCode::kIo;
  return Status(code, fmt::format("{}: {}: {}", path, what, std::strerror(error)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Result<FileBytes> ReadFile(const std::string& path, bool map) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return SystemError(path, "cannot open");
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return SystemError(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) return InvalidArgumentError("{}: not a regular file", path);
  const auto size = static_cast<size_t>(info.st_size);
  if (map && size > 0) {
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) return SystemError(path, "cannot map");
    return FileBytes{std::shared_ptr<const std::byte>(
                         static_cast<const std::byte*>(address),
                         [size](const std::byte* p) { ::munmap(const_cast<std::byte*>(p), size); }),
                     size};
  }
  auto buffer = std::make_shared<AlignedBuffer>(size);
  if (!*buffer) return ResourceExhaustedError("{}: no memory for {} bytes", path, size);
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::read(file.get(), buffer->data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, "cannot read");
    if (n == 0) return DataLossError("{}: became shorter while it was read", path);
    done += static_cast<size_t>(n);
  }
  const std::byte* data = buffer->data();
  return FileBytes{std::shared_ptr<const std::byte>(std::move(buffer), data), size};
}

namespace {

Status WriteAll(int file, const std::string& path, std::span<const std::string_view> parts) {
  for (std::string_view part : parts) {
    while (!part.empty()) {
      const ssize_t n = ::write(file, part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return SystemError(path, "cannot write");
      part.remove_prefix(static_cast<size_t>(n));
    }
  }
  return OkStatus();
}

}  // namespace

Status WriteFileAtomically(const std::string& given, std::span<const std::string_view> parts) {
  const std::string path = FileBehind(given);
  // A device or a pipe takes bytes; opening a folder fails.
  if (IsNoFile(path)) {
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file.get() < 0) return SystemError(path, "cannot open");
    return WriteAll(file.get(), path, parts);
  }
  // With the permissions of an ordinary file, which mkstemp does not give.
  std::string temporary;
  int created = -1;
  do {
    uint64_t random = 0;
    if (::getentropy(&random, sizeof(random)) != 0) return SystemError(path, "no random name");
    temporary = fmt::format("{}.{:016x}", path, random);
    created = ::open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  } while (created < 0 && errno == EEXIST);
  Descriptor file(created);
  if (file.get() < 0) return SystemError(temporary, "cannot create");
  auto fail = [&](Status status) {
    ::unlink(temporary.c_str());
    return status;
  };
  if (Status written = WriteAll(file.get(), path, parts); !written.ok()) return fail(written);
  if (::fsync(file.get()) != 0) return fail(SystemError(path, "cannot sync"));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(SystemError(path, "cannot rename to it"));
  return OkStatus();
}

}  // namespace graft
