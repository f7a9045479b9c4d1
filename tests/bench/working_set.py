"""Results that need several times the memory for results: what it costs to spill them, and that memory holds its budget.

All objects are made before the first is read again (a gate reads a checksum of each), so that they are alive at once. The limit
is the time to write what does not fit to a file of the same disk and to read it again, from the page cache where it can.
"""

import os
import pathlib
import tempfile
import threading
import time

from measuring import LONG_S, cluster, compiled, median_ratio, rounded, spread, timed_jobs

MIB = 1 << 20
OBJECT_MIB = 4
CHUNK = bytes(MIB)


def add_flags(parser, _name):
    parser.add_argument("--store-mib", type=int, default=256, help="memory for results of the one worker")
    parser.add_argument("--times", type=int, default=10, help="how much more the results need")


def tiny(arguments):
    arguments.store_mib, arguments.times, arguments.runs = 16, 2, 1


def graph(objects):
    return f"""
taskd: 1
tasks:
- {{name: gen, over: {{i: 1..{objects}}}, builtin: {{name: generate, size: {OBJECT_MIB}MiB}}, out: [o]}}
- {{name: first, over: {{i: 1..{objects}}}, in: {{x: "gen[{{i}}].o"}}, builtin: checksum, out: [o]}}
- {{name: gate, in: {{x: "first[*].o"}}, builtin: concat, out: [o]}}
- {{name: again, over: {{i: 1..{objects}}}, in: {{x: "gen[{{i}}].o", g: gate.o}}, builtin: checksum, out: [o]}}
- {{name: all, in: {{x: "again[*].o"}}, builtin: concat, out: [o]}}
want: [all.o]
"""


def disk_seconds(folder, size):
    """To write so many bytes and to read them again."""
    start = time.monotonic()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(size // MIB):
            file.write(CHUNK)
        file.seek(0)
        while file.read(MIB):
            pass
    return time.monotonic() - start


class MemoryPeak:
    """The most that a process and its folder in shared memory have had at once: its own pages, and the files there."""

    def __init__(self, pid):
        self.pid, self.most, self._stop = pid, 0, threading.Event()
        self._folders = [lock.parent for lock in pathlib.Path("/dev/shm").glob(f"taskd-{os.geteuid()}-*/lock")
                         if lock.read_text().strip() == str(pid)]
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._private() + sum(self._files(folder) for folder in self._folders))

    def _private(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return 0

    @staticmethod
    def _files(folder):
        used = 0
        for path, _, names in os.walk(folder):
            for name in names:
                try:
                    used += os.stat(os.path.join(path, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return used


def working_set(arguments):
    budget = arguments.store_mib * MIB
    objects = arguments.store_mib * arguments.times // OBJECT_MIB
    took, limits, peaks, results = [], [], [], set()
    for store in [budget] * arguments.runs + [0]:        # the last one, with room for all, has the right result
        with cluster(workers=1, cpus=2, store=store) as on, MemoryPeak(on.pids()["worker-1"]) as memory:
            [job] = timed_jobs(on, compiled(on, graph(objects)), 3 * objects + 2)
            results.add(on.get(job["job"], "all.o"))
            if store == 0:
                roomy = job["seconds"]
                continue
            took.append(job["seconds"])
            limits.append(disk_seconds(on.dir, budget * (arguments.times - 1)))
        peaks.append(memory.most)
    assert len(results) == 1, "results differ"
    return {"store_mib": arguments.store_mib, "results_mib": objects * OBJECT_MIB, "runs": arguments.runs, "seconds": spread(took),
            "seconds_with_room_for_all": rounded(roomy), "memory_peak_mib": spread([peak / MIB for peak in peaks]),
            "limit": "what does not fit written to a file of the same disk and read again", "limit_seconds": spread(limits),
            "times_the_limit": median_ratio(took, limits)}
