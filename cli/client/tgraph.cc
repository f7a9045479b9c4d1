#include "cli/client/tgraph.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/zstd_frame.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers in .tgraph files are copied as they are");

constexpr std::string_view kMagic = "\x89TGRAPH\n";

void AppendU32(std::string& out, uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), 4);
}

uint32_t LoadU32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, 4);
  return value;
}

absl::Status SystemError(std::string_view what, std::string_view path) {
  std::string text = StrCat(what, " ", path, ": ", std::strerror(errno));
  return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
}

}  // namespace

absl::StatusOr<std::string> CompressBatch(const v1::GraphBatch& batch) {
  if (batch.ByteSizeLong() > limits::kBatchBytes) {
    return absl::InvalidArgumentError(StrCat("batch ", batch.number(), " takes ",
                                             FormatBytes(batch.ByteSizeLong()), "; the limit is ",
                                             FormatBytes(limits::kBatchBytes)));
  }
  std::string plain = batch.SerializeAsString();
  std::string frame = io::Compress(plain);
  if (frame.size() > limits::kFrameBytes) {
    return absl::InvalidArgumentError(
        StrCat("batch ", batch.number(), " takes ", FormatBytes(frame.size()),
               " compressed; the limit is ", FormatBytes(limits::kFrameBytes)));
  }
  return frame;
}

absl::StatusOr<std::unique_ptr<v1::GraphBatch>> DecompressBatch(std::string_view frame) {
  unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
    return absl::InvalidArgumentError("not a zstd frame that tells its size");
  }
  if (size > limits::kBatchBytes) {
    return absl::InvalidArgumentError(StrCat("a batch of ", FormatBytes(size), "; the limit is ",
                                             FormatBytes(limits::kBatchBytes)));
  }
  std::string plain(size, '\0');
  size_t made = ZSTD_decompress(plain.data(), plain.size(), frame.data(), frame.size());
  if (ZSTD_isError(made))
    return absl::InvalidArgumentError(StrCat("zstd: ", ZSTD_getErrorName(made)));
  auto batch = std::make_unique<v1::GraphBatch>();
  if (made != size || !batch->ParseFromString(plain))
    return absl::InvalidArgumentError("not a GraphBatch");
  return batch;
}

absl::Status WriteTgraph(const std::string& path, const std::vector<std::string>& frames) {
  std::string temporary = StrCat(path, ".", getpid(), ".tmp");
  int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError("cannot write", temporary);
  std::FILE* file = fdopen(fd, "wb");
  bool good = file != nullptr;
  auto put = [&](std::string_view bytes) {
    good = good && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  };
  std::string head(kMagic);
  AppendU32(head, kTgraphVersion);
  put(head);
  for (const std::string& frame : frames) {
    head.clear();
    AppendU32(head, static_cast<uint32_t>(frame.size()));
    AppendU32(head, Crc32c(frame));
    put(head);
    put(frame);
  }
  head.clear();
  AppendU32(head, 0);
  AppendU32(head, static_cast<uint32_t>(frames.size()));
  AppendU32(head, Crc32c(head));
  put(head);
  good = good && std::fflush(file) == 0 && fsync(fd) == 0;
  absl::Status failed = good ? absl::OkStatus() : SystemError("cannot write", temporary);
  if (file != nullptr && std::fclose(file) != 0 && failed.ok())
    failed = SystemError("cannot write", temporary);
  if (failed.ok() && std::rename(temporary.c_str(), path.c_str()) != 0)
    failed = SystemError("cannot write", path);
  if (!failed.ok()) unlink(temporary.c_str());
  return failed;
}

bool LooksLikeTgraph(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return false;
  char start[2] = {};
  bool is = std::fread(start, 1, 2, file) == 2 && start[0] == kMagic[0] && start[1] == kMagic[1];
  std::fclose(file);
  return is;
}

absl::StatusOr<std::unique_ptr<TgraphReader>> TgraphReader::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return SystemError("cannot read", path);
  std::unique_ptr<TgraphReader> reader(new TgraphReader(path, file));
  char head[12];
  if (auto status = reader->Read(head, sizeof(head)); !status.ok()) return status;
  if (std::string_view(head, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError(
        StrCat(path, ": this is not a .tgraph file; make one with 'taskctl graph compile'"));
  }
  uint32_t version = LoadU32(head + kMagic.size());
  if (version == 0 || version > kTgraphVersion) {
    return absl::InvalidArgumentError(
        StrCat(path, ": format ", version, ", made by a newer taskd; this one reads up to ",
               kTgraphVersion, ": compile the graph again with this taskctl"));
  }
  return reader;
}

TgraphReader::~TgraphReader() { std::fclose(file_); }

absl::Status TgraphReader::Damaged(std::string_view what) const {
  return absl::InvalidArgumentError(StrCat(path_, ": damaged: ", what, " (found by byte ", offset_,
                                           "); compile the graph again"));
}

absl::Status TgraphReader::Read(char* to, size_t size) {
  size_t got = std::fread(to, 1, size, file_);
  if (got == size) {
    offset_ += size;
    return absl::OkStatus();
  }
  if (std::ferror(file_)) return SystemError("cannot read", path_);
  return absl::InvalidArgumentError(
      StrCat(path_, ": truncated: it ends at byte ", offset_ + got, " inside batch ", frames_,
             " or before its trailer; copy it or compile the graph again"));
}

absl::StatusOr<std::optional<std::string>> TgraphReader::Next() {
  if (ended_) return std::nullopt;
  char head[8];
  if (auto status = Read(head, 8); !status.ok()) return status;
  uint32_t size = LoadU32(head), second = LoadU32(head + 4);
  if (size == 0) {
    char crc[4];
    if (auto status = Read(crc, 4); !status.ok()) return status;
    if (LoadU32(crc) != Crc32c(std::string_view(head, 8)))
      return Damaged("the trailer's checksum is wrong");
    if (second != frames_)
      return Damaged(StrCat("the trailer counts ", second, " batches, the file has ", frames_));
    if (std::fgetc(file_) != EOF) return Damaged("bytes follow the trailer");
    ended_ = true;
    return std::nullopt;
  }
  if (size > limits::kFrameBytes)
    return Damaged(StrCat("batch ", frames_, " would have ", size, " bytes, over the limit"));
  std::string frame(size, '\0');
  if (auto status = Read(frame.data(), size); !status.ok()) return status;
  if (Crc32c(frame) != second) return Damaged(StrCat("batch ", frames_, " has a wrong checksum"));
  ++frames_;
  return frame;
}

}  // namespace taskd::client
