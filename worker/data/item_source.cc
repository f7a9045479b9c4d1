#include "worker/data/item_source.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/log.h"
#include "worker/data/host_proof.h"

namespace taskd::worker {
namespace {

v1::FetchStatus WireStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return v1::FETCH_OK;
    case absl::StatusCode::kNotFound:
      return v1::FETCH_MISSING;
    case absl::StatusCode::kOutOfRange:
      return v1::FETCH_BAD_RANGE;
    case absl::StatusCode::kResourceExhausted:
      return v1::FETCH_BUSY;  // out of descriptors: a passing state
    default:
      return v1::FETCH_IO_ERROR;
  }
}

// Of the bytes of parts [lo, hi), from the checksums of the parts.
uint32_t CrcOfParts(const ObjectMeta& meta, uint32_t lo, uint32_t hi) {
  uint32_t crc = 0;
  uint64_t begin = lo == 0 ? 0 : meta.part_ends[lo - 1];
  for (uint32_t p = lo; p < hi; ++p) {
    crc = CombineCrc32c(crc, meta.part_crcs[p], meta.part_ends[p] - begin);
    begin = meta.part_ends[p];
  }
  return crc;
}

using Held = std::shared_ptr<const ObjectReader>;
void LetGo(void* held) { delete static_cast<Held*>(held); }

}  // namespace

ItemSource::ItemSource(Store& store, ChunkBuffers& buffers, const v1::FetchRequest& request,
                       uint32_t index, const HostProof* host)
    : store_(store),
      buffers_(buffers),
      request_(request),
      item_(request.items(static_cast<int>(index))),
      index_(index),
      host_(host) {}

void ItemSource::Next(v1::FetchChunk& header, grpc::Slice& data) {
  header.Clear();
  header.set_item(index_);
  absl::Status status;
  if (!std::exchange(opened_, true)) status = Open(header);
  if (status.ok() && !done_) status = Piece(data);
  if (!status.ok()) {
    io::LogDebug(
        StrCat("fetch of ", item_.job(), ".o", item_.object(), ": ", ToStd(status.message())));
    if (status.code() == absl::StatusCode::kDataLoss && reader_ != nullptr) store_.ReportLost(id_);
    header.Clear();
    header.set_item(index_);
    header.set_status(WireStatus(status));
    data = grpc::Slice();
    done_ = true;
  }
  if (!done_) return;
  header.set_last(true);
  header.set_crc32c(crc_);
  checker_.reset();
  reader_.reset();
}

absl::Status ItemSource::Open(v1::FetchChunk& header) {
  LocalKey key{{{item_.job(), item_.object()}, item_.version()},
               {item_.part_lo(), item_.part_hi()}};
  if (key.id.version == 0) key.id.version = store_.AnyVersion(key.id.object);
  id_ = key.id;
  absl::StatusOr<ObjectReader> reader = store_.GetCovering(key, range_);
  if (!reader.ok()) return reader.status();
  reader_ = std::make_shared<const ObjectReader>(*std::move(reader));
  if (!item_.resume()) {
    if (absl::Status s = Narrow(); !s.ok()) return s;
  } else if (item_.offset() > range_.length) {
    return absl::OutOfRangeError(StrCat("resume at ", item_.offset(), " of ", range_.length));
  }
  Describe(header);
  position_ = range_.offset + (item_.resume() ? item_.offset() : 0);
  done_ = NameFile(header);
  return absl::OkStatus();
}

// A client's offset and length inside of the object or the parts.
absl::Status ItemSource::Narrow() {
  if (item_.offset() == 0 && item_.length() == 0) return absl::OkStatus();
  if (item_.offset() > range_.length) {
    return absl::OutOfRangeError(
        StrCat("offset ", item_.offset(), " in ", range_.length, " bytes"));
  }
  uint64_t length = range_.length - item_.offset();
  if (item_.length() != 0) length = std::min<uint64_t>(length, item_.length());
  range_ = {range_.offset + item_.offset(), length, 0, 0};
  return absl::OkStatus();
}

// What the first chunk says, and what will be checked on the way.
void ItemSource::Describe(v1::FetchChunk& header) {
  const ObjectMeta& meta = reader_->meta();
  header.set_version(id_.version);
  header.set_size_bytes(range_.length);
  for (uint32_t p = range_.part_lo; p < range_.part_hi; ++p)
    header.add_part_ends(meta.part_ends[p] - range_.offset);
  const bool everything = range_.length == meta.size_bytes;
  if (everything) {
    crc_ = meta.crc32c;
  } else if (range_.part_hi > range_.part_lo) {
    crc_ = CrcOfParts(meta, range_.part_lo, range_.part_hi);
  }
  const bool known = everything || range_.part_hi > range_.part_lo;
  if (known && (!item_.resume() || item_.offset() == 0)) checker_.emplace(meta, range_);
}

// To a worker on this host: the whole object's file, if it is in one, instead of its bytes.
bool ItemSource::NameFile(v1::FetchChunk& header) {
  if (host_ == nullptr || !reader_->entry().has_own_file() || item_.resume() ||
      range_.length != reader_->meta().size_bytes) {
    return false;
  }
  const ObjectEntry& entry = reader_->entry();
  v1::StoreFile* file = header.mutable_file();
  const FileIdentity& identity = entry.file->identity;
  file->set_path(entry.file->path);
  file->set_device(identity.device);
  file->set_inode(identity.inode);
  file->set_mtime_ns(identity.mtime_ns);
  for (uint32_t crc : entry.meta.part_crcs) file->add_part_crcs(crc);
  file->set_proof(host_->Answer(request_.nonce(), *file));
  return true;
}

absl::Status ItemSource::Piece(grpc::Slice& data) {
  const uint64_t end = range_.offset + range_.length;
  const size_t n = std::min<uint64_t>(end - position_, limits::kChunkBytes);
  if (n > 0) {
    absl::StatusOr<grpc::Slice> read = Read(position_, n);
    if (!read.ok()) return read.status();
    data = *std::move(read);
    const std::string_view bytes(reinterpret_cast<const char*>(data.begin()), n);
    if (checker_) {
      sound_ = sound_ && checker_->Feed(bytes);
    } else if (!item_.resume()) {
      crc_ = ExtendCrc32c(crc_, bytes.data(), n);
    }
    position_ += n;
  }
  if (position_ < end) return absl::OkStatus();
  if (checker_ && !(sound_ && checker_->Finish())) {
    return absl::DataLossError(StrCat("object ", ToString(id_.object),
                                      " is damaged in the store (its checksum is wrong)"));
  }
  done_ = true;
  return absl::OkStatus();
}

// A file is read and not mapped: a task that shortens one (its inputs are links to them) must not
// end the daemon with SIGBUS.
absl::StatusOr<grpc::Slice> ItemSource::Read(uint64_t offset, size_t n) {
  if (!reader_->in_file()) {
    char* bytes = const_cast<char*>(reader_->entry().bytes.data()) + offset;  // nobody writes
    return grpc::Slice(bytes, n, LetGo, new Held(reader_));
  }
  ChunkBuffers::Buffer buffer = buffers_.Take();
  if (absl::Status s = reader_->Read(offset, buffer.get(), n); !s.ok()) return s;
  return buffers_.Refer(std::move(buffer), n);
}

}  // namespace taskd::worker
