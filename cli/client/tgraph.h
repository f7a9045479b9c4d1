// .tgraph files: the serialized graph on disk, streamed batch after batch both ways.
//
//   header   8 bytes "\x89TGRAPH\n", version u32
//   frame    size u32 (> 0), crc32c u32 of the bytes, the bytes: one zstd-compressed GraphBatch
//   trailer  0 u32, batch count u32, crc32c u32 of these 8 bytes; then the file ends
// All numbers little-endian. The trailer is how a truncated file is told from a whole one.
#ifndef TASKD_CLI_CLIENT_TGRAPH_H_
#define TASKD_CLI_CLIENT_TGRAPH_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::v1 {
class GraphBatch;
}

namespace taskd::client {

inline constexpr uint32_t kTgraphVersion = 1;

// A batch as it travels and is stored; both ways within limits::kBatchBytes and kFrameBytes.
absl::StatusOr<std::string> CompressBatch(const v1::GraphBatch& batch);
absl::StatusOr<std::unique_ptr<v1::GraphBatch>> DecompressBatch(std::string_view frame);

// Writes beside `path` and renames, so that `path` is either its old self or whole.
absl::Status WriteTgraph(const std::string& path, const std::vector<std::string>& frames);

// Whether the file begins like a .tgraph file. False for one that cannot be read.
bool LooksLikeTgraph(const std::string& path);

class TgraphReader {
 public:
  // NotFound when there is no such file; InvalidArgument for a wrong beginning or a newer version.
  static absl::StatusOr<std::unique_ptr<TgraphReader>> Open(const std::string& path);
  ~TgraphReader();
  TgraphReader(const TgraphReader&) = delete;
  TgraphReader& operator=(const TgraphReader&) = delete;

  // The next frame, its checksum verified, or nothing at the end, the trailer verified. Errors name
  // the file, the batch and the byte, and say whether the file is cut short or damaged.
  absl::StatusOr<std::optional<std::string>> Next();

 private:
  TgraphReader(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  absl::Status Read(char* to, size_t size);
  absl::Status Damaged(std::string_view what) const;

  std::string path_;
  std::FILE* file_;
  uint64_t offset_ = 0;
  uint32_t frames_ = 0;
  bool ended_ = false;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_TGRAPH_H_
