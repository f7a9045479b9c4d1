// zstd frames that are made and read whole. Each thread keeps its contexts: to make one costs more than to
// compress a chunk.
#ifndef TASKD_COMMON_IO_ZSTD_FRAME_H_
#define TASKD_COMMON_IO_ZSTD_FRAME_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace taskd::io {

// One frame of all of `bytes`, at the level that costs least.
std::string Compress(std::string_view bytes);

// Writes one frame to `out`. Its size; 0: it takes more than `most` bytes.
size_t CompressInto(std::string_view bytes, char* out, size_t most);

// False: `frame` is not one whole frame of exactly `size` bytes.
bool DecompressInto(std::string_view frame, char* out, size_t size);

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_ZSTD_FRAME_H_
