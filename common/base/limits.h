// Every limit in one table, each with its reason.
#ifndef TASKD_COMMON_BASE_LIMITS_H_
#define TASKD_COMMON_BASE_LIMITS_H_

#include <cstdint>

namespace taskd::limits {

inline constexpr uint32_t kProtocolVersion = 1;

// Jobs, as they are opened.
inline constexpr uint32_t kJobNameBytes = 256;   // shown in tables, kept with forgotten jobs
inline constexpr uint32_t kOwnerNames = 65'536;  // ever seen; typing errors end in it too
inline constexpr uint32_t kJobWeight = 10'000;   // what is charged by weight stays within 64 bits
inline constexpr uint32_t kDatasetNameBytes = 256;                           // shown in tables
inline constexpr uint64_t kJobTtlNs = 10ull * 365 * 86'400 * 1'000'000'000;  // longer: never

// Graph intake.
inline constexpr uint32_t kKeyBytes = 1024;         // a key is shown in tables and metrics
inline constexpr uint32_t kTasksPerJob = 1u << 30;  // ordinals keep their top bits for tags
inline constexpr uint32_t kTasksPerBatch = 65'536;  // one batch is applied in bounded time
inline constexpr uint32_t kBatchBytes = 16u << 20;  // decompressed; bounds intake memory
inline constexpr uint32_t kFrameBytes = 8u << 20;   // compressed
inline constexpr uint32_t kImportObjects = 65'536;  // of another job at once: likewise
inline constexpr uint32_t kOutputsPerTask = 1024;
inline constexpr uint32_t kInputsPerTask = 65'535;
inline constexpr uint32_t kPoolsPerRequest = 6;    // of a task, and of a worker: kept in place
inline constexpr uint32_t kPlaceNames = 1u << 20;  // workers, hosts and attributes ever seen
inline constexpr uint32_t kPoolNames = 4096;       // of a cluster; typing errors end in it too
inline constexpr uint32_t kVariantsPerShape = 4;   // each one is tried at a free slot
inline constexpr uint32_t kNamesPerRule = 256;     // workers, hosts, attributes of a placement rule
inline constexpr uint32_t kShapesPerJob = 1024;    // each one is looked at when a slot is free
inline constexpr uint32_t kPartsPerObject = 1u << 20;
inline constexpr uint32_t kArgsBytes = 4u << 20;  // travels in one assignment
inline constexpr uint32_t kGroupsPerJob = 4096;   // metrics cardinality
// Tasks and inputs of jobs without ranks, kept until they are sealed and ordered: about 64 MiB, and
// half a GiB while one of 4 M tasks with 3 inputs each is ordered.
inline constexpr uint64_t kOrderItems = 16u << 20;

// Sessions.
inline constexpr uint32_t kControlMessageBytes = 64u << 20;
// A chunk and the ends and checksums of kPartsPerObject parts.
inline constexpr uint32_t kDataMessageBytes = 16u << 20;
inline constexpr uint32_t kFlushBytes = 1u
                                        << 20;  // an outbox is cut into messages of about this size
inline constexpr uint64_t kWorkerOutboxBytes = 256u
                                               << 20;  // above: the session is closed and resynced
inline constexpr uint32_t kEventQueueItems = 65'536;   // above: sessions stop reading
inline constexpr uint32_t kInventoryChunk = 8192;      // replicas a message
inline constexpr uint32_t kMessageBytes = 8192;        // tail of stderr in an outcome
// Values of so many bytes ride in messages: a fetch moves less than it costs.
inline constexpr uint32_t kInlineBytes = 512;
// Of values in one assignment. A wider one fetches the rest, many in a request.
inline constexpr uint64_t kAssignmentValueBytes = 64u << 10;
// Of them in the scheduler: about 100,000 of the largest. What is older is fetched.
inline constexpr uint64_t kValueCacheBytes = 64u << 20;
inline constexpr uint32_t kValuesNoted = 65'536;  // sent on a stream: then some are sent again

// Scheduler core.
inline constexpr uint32_t kWorkers = 65'535;
inline constexpr uint32_t kHoldersPerInput = 4;
inline constexpr uint32_t kCandidates = 20;   // workers costed for one placement
inline constexpr uint32_t kKindsLooked = 64;  // kinds of workers looked through for an idle one
// A task that fits a worker, but not beside what others are given there, waits so long before the
// worker gets nothing else: small tasks of a second or less let it in by themselves now and then.
inline constexpr uint64_t kWaitsLongNs = 500'000'000;
inline constexpr uint64_t kStragglerNs = 1'000'000'000;     // nothing shorter gets a second attempt
inline constexpr uint64_t kToldPpmMax = 1'000'000'000'000;  // a hint that is off by a million
inline constexpr uint64_t kPreferenceNs = 1'000'000'000;  // a preferred place is worth such a wait
// What does not fit a worker's store is written to its disk and read again: so many bytes a second.
inline constexpr uint64_t kSpillBytesPerS = 500'000'000;
inline constexpr uint32_t kReadersLooked =
    8;  // consumers of an output, for one that it makes ready
inline constexpr uint64_t kRefusedNs = 1'000'000'000;  // a worker that refused is not asked sooner
inline constexpr uint8_t kRefusalDoublings = 8;        // of that time, while it goes on refusing
inline constexpr uint32_t kInputsCosted = 16;          // largest inputs looked at for one placement
inline constexpr uint32_t kMovesCosted = 8;  // tasks of a home, for one that moves cheaply
// Inputs that are fetched before their task is ready: from so many on none decides alone where it runs.
inline constexpr uint32_t kSinkInputs = 8;
inline constexpr uint64_t kEarlyFetchNs = 1'000'000'000;  // a shorter fetch is not begun early
inline constexpr uint32_t kEarlyGathers = 4;              // of these at once at a worker
inline constexpr uint32_t kEarlyAsks = 4096;  // waiting at a worker; others come when it is ready
inline constexpr uint32_t kSinksPerJob = 4096;
inline constexpr uint32_t kReplicas = 16;         // copies of one output; fewer than kCandidates
inline constexpr uint32_t kGathersPerWorker = 8;  // ordered at once: leaves room for tasks' inputs
inline constexpr uint32_t kLookaheadPerAttempt = 4096;
inline constexpr uint64_t kLookaheadNs = 20'000'000;     // hides a round trip and a hiccup
inline constexpr uint64_t kUnknownTaskNs = 100'000'000;  // a task that nobody told or measured
inline constexpr uint32_t kRetractBatch = 256;
inline constexpr uint8_t kDoubtsKept = 2;      // losses of silent workers before a task runs alone
inline constexpr uint32_t kReservedShare = 8;  // at most one worker in so many is emptied for one
inline constexpr uint8_t kBlamedTasks = 4;     // that failed on a worker and ran well on another
inline constexpr uint64_t kQuarantineNs = 30'000'000'000;  // then it gets nothing new so long
inline constexpr uint32_t kFailuresKept = 1000;            // with text, a job
inline constexpr uint32_t kDefaultCrashLimit = 3;
inline constexpr uint32_t kQueryRecords = 10'000;             // scanned by one query
inline constexpr uint64_t kRerunAfterClosedNs = 500'000'000;  // a hiccup of the network is shorter
inline constexpr uint64_t kSilentNs = 5'000'000'000;          // five heartbeats
inline constexpr uint64_t kForgetAfterNs = 30'000'000'000;
inline constexpr uint64_t kHeartbeatNs = 1'000'000'000;
inline constexpr uint32_t kEndedJobsKept = 10'000;          // whole, with their results and lineage
inline constexpr uint32_t kForgottenJobsKept = 100'000;     // as compact records of 200 bytes
inline constexpr uint64_t kClientLeaseNs = 30'000'000'000;  // a laptop that changes its network
inline constexpr uint64_t kBackoffMaxNs = 600'000'000'000;

// Worker.
inline constexpr uint32_t kSpillsAtOnce = 2;   // requests; each is written by a thread of its own
inline constexpr uint32_t kSpillItems = 1024;  // in one: small ones share a file
inline constexpr uint64_t kSpillBytes = 64u << 20;  // likewise; memory comes back in such pieces
inline constexpr uint64_t kSpillRetryNs = 1'000'000'000;  // after a disk that was full
// Of the budget for objects. Spilling begins above the one and goes on down to the other; the rest takes
// what is made and fetched meanwhile.
inline constexpr uint32_t kSpillAbovePercent = 75;
inline constexpr uint32_t kSpillDownToPercent = 60;
// Emptied folders of attempts that a worker keeps for the next ones. One look at all processes serves so many.
inline constexpr uint32_t kSpareFolders = 256;
inline constexpr uint32_t kSpareFoldersLooked = 64;
inline constexpr uint64_t kSpareFolderBytes = 64u << 10;  // one that held more names stays slow
// Of the budget for objects: files of objects that are gone, for their pages. They go when memory is short.
inline constexpr uint32_t kSparePercent = 25;
inline constexpr uint64_t kSpareBytes = 4ull
                                        << 30;  // likewise, without a budget or with a large one
inline constexpr uint32_t kSpareFiles = 64;     // each is open, and looked at for every new file
inline constexpr uint64_t kSpareNs =
    30'000'000'000;                            // unused: an idle worker gives its memory back
inline constexpr uint32_t kFetchesTotal = 16;  // requests under way
inline constexpr uint32_t kFetchesPerPeer = 2;
inline constexpr uint32_t kFetchItems = 1024;  // in one request
inline constexpr uint64_t kFetchBytes = 64u
                                        << 20;  // likewise; then more urgent pieces get their turn
inline constexpr uint32_t kHeapObjectBytes = 64u << 10;  // larger objects are files
inline constexpr uint32_t kChunkBytes = 256u << 10;      // of a transfer
inline constexpr uint32_t kLogBytes = 1u << 20;          // of each stream of an attempt
inline constexpr uint32_t kLogTailBytes = 64u << 10;     // of which the newest, when there was more
inline constexpr uint64_t kLogsTotalBytes =
    64u << 20;                                 // kept by a worker; the oldest attempts' go first
inline constexpr uint32_t kLogsKept = 65'536;  // attempts with a log, most of them empty
// The oldest of them are written to disk from so many bytes on, so that there is time for it.
inline constexpr uint64_t kLogsWriteBytes = 32u << 20;
inline constexpr uint64_t kLogSegmentBytes = 16u << 20;  // of a file of them
inline constexpr uint32_t kLogSegments = 64;             // files; the oldest goes first
inline constexpr uint32_t kLogSegmentLogs = 16'384;      // in one: the index takes 24 MiB at most
inline constexpr uint64_t kLogsDiskBytes = kLogSegments * kLogSegmentBytes;  // the default
inline constexpr uint32_t kServedFetches = 64;  // streams served at once; above: busy
inline constexpr uint32_t kServedPerPeer = 8;   // likewise, on one connection
inline constexpr uint32_t kLinksKept = 1024;    // connections whose pace is known
// Workers that one large object is sent to at once. Others are told to ask these, so that a broadcast takes the
// logarithm of its readers, and not their number, times what one copy takes.
inline constexpr uint32_t kReceiversAtOnce = 2;
inline constexpr uint64_t kRelayedBytes = 1u
                                          << 20;  // smaller objects are not worth another question
inline constexpr uint32_t kReceiversKept = 16;    // of one object, and of so many objects:
inline constexpr uint32_t kReceivedKept = 1024;
inline constexpr uint32_t kAddressBytes = 512;       // of a receiver: host names have at most 253
inline constexpr uint32_t kRelaysNamed = 2;          // in one answer
inline constexpr uint32_t kRelaysAsked = 8;          // for one item: a tree of so many levels
inline constexpr uint64_t kHeldNs = 30'000'000'000;  // a reader waits so long for what comes here
inline constexpr uint64_t kHeldSignNs = 1'000'000'000;  // and is told so
// They send what readers are ready for, and read files: more would not make disks faster.
inline constexpr uint32_t kServingThreads = 4;
inline constexpr uint32_t kChunkBuffers =
    32;  // kept for what is read next: two of each busy stream
// Of broken streams, until another holder is asked: a failed worker is noticed in kForgetAfterNs.
inline constexpr uint64_t kPartialBytes = 1u << 30;
inline constexpr uint32_t kPartialItems = 256;
inline constexpr uint64_t kPartialNs = 60'000'000'000;
inline constexpr uint64_t kFetchStallNs =
    10'000'000'000;  // a peer that sends nothing for so long has failed

// Runners: the processes that functions run in.
inline constexpr uint32_t kRunnerFrameBytes = 32u << 20;  // the args of a task, and ends of parts
inline constexpr uint32_t kRunnerInlineBytes = 256u
                                               << 10;      // of values in a frame; more go as files
inline constexpr uint16_t kRunnerFilesPerFrame = 128;      // the kernel takes 253
inline constexpr uint32_t kRunnersKept = 2;                // at least, on a worker of one cpu
inline constexpr uint64_t kRunnerIdleNs = 60'000'000'000;  // then it gives its memory back
inline constexpr uint64_t kRunnerStallNs = 10'000'000'000;  // it takes nothing for so long: hung
inline constexpr uint32_t kRunnerFunctions = 256;           // pickled ones; it keeps them all
inline constexpr uint64_t kHeldBytes = 64u << 20;  // of graphs that a task submits at its end
inline constexpr uint64_t kPutNs =
    600'000'000'000;  // what was put waits so long for its task: a scheduler may restart meanwhile
inline constexpr uint32_t kPutsAtOnce = 16;           // streams of clients: each holds a thread
inline constexpr uint32_t kAwaitObjects = 65'536;     // that a task waits for at once
inline constexpr uint32_t kTaskConnections = 1024;    // of processes of tasks to their worker
inline constexpr uint64_t kTaskGetTries = 150;        // holders of an object fail, for about 30 s
inline constexpr uint32_t kLibraryPathBytes = 4096;   // PATH_MAX
inline constexpr uint32_t kFunctionNameBytes = 1024;  // mangled names are long
inline constexpr uint32_t kPickleBytes = 4u << 20;    // travels with the body
inline constexpr uint32_t kExceptionBytes = 4096;     // pickled; kept with each failure

}  // namespace taskd::limits

#endif  // TASKD_COMMON_BASE_LIMITS_H_
