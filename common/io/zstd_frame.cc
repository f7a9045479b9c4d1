#include "common/io/zstd_frame.h"

#include <zstd.h>

#include <memory>

#include "common/base/check.h"

namespace taskd::io {
namespace {

// Of 1 to 19, and the only one that keeps up with disks and links of this decade.
constexpr int kLevel = 1;

ZSTD_CCtx* Compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                                &ZSTD_freeCCtx);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                                &ZSTD_freeDCtx);
  return context.get();
}

}  // namespace

std::string Compress(std::string_view bytes) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = CompressInto(bytes, frame.data(), frame.size());
  TASKD_CHECK(size != 0);  // there is room
  frame.resize(size);
  frame.shrink_to_fit();
  return frame;
}

size_t CompressInto(std::string_view bytes, char* out, size_t most) {
  const size_t size =
      ZSTD_compressCCtx(Compressor(), out, most, bytes.data(), bytes.size(), kLevel);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

bool DecompressInto(std::string_view frame, char* out, size_t size) {
  // The call below takes several frames, too.
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) return false;
  return ZSTD_decompressDCtx(Decompressor(), out, size, frame.data(), frame.size()) == size;
}

}  // namespace taskd::io
