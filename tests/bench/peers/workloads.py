"""The same graphs for every system, and what is right. Runs in the peers' environment, too: standard library only.

A program of this folder is called as `SYSTEM.py JSON` with the sizes, and prints one JSON object: the version, and for each
workload the seconds of each run. Two workers with one cpu each. One run before the others warms up. A run is timed
from handing the graph over to the results of its last tasks being here.
"""

import importlib.metadata
import json
import pathlib
import sys
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import patterns  # noqa: E402 (needs the path)

WORKERS = 2


def graphs(sizes):
    """Name -> edge list. What a task makes depends on all that it reads."""
    return {"noops": patterns.independent(sizes["noops"]), "tree": patterns.reduction(sizes["leaves"]),
            "stencil": patterns.stepped("stencil", sizes["width"], sizes["steps"]), "chain": patterns.chain(sizes["chain"])}


def leaf(task):
    return b"%016d" % task


def lines(*inputs):
    """The body of a task that reads: as taskd's built-in `checksum`, with the crc that Python has."""
    return b"".join(patterns.line(value, zlib.crc32) for value in inputs)


def expected(name, edges):
    """Of the tasks that nobody reads. No-ops make nothing."""
    if name == "noops":
        return [b""] * len(edges)
    made = patterns.values(edges, zlib.crc32, leaf)
    return [made[task] for task in patterns.sinks(edges)]


def noise(index, parts, size):
    """What map `index` of a shuffle makes: `parts` pieces."""
    import random
    made = random.Random(index).randbytes(parts * size)
    return [made[k * size:(k + 1) * size] for k in range(parts)]


def check_of_merge(k, parts, size):
    crc = 0
    for index in range(parts):
        crc = zlib.crc32(noise(index, parts, size)[k], crc)
    return crc, parts * size


def timed(runs, work, check):
    """Seconds of each run; `check` gets what each run returned, outside of the time."""
    seconds = []
    for number in range(runs + 1):
        start = time.monotonic()
        got = work()
        took = time.monotonic() - start
        check(got)
        if number:
            seconds.append(took)
    return seconds


def same(what, got, right):
    assert got == right, f"{what}: wrong results"


def main(package, run):
    """run(sizes) -> {workload: seconds, or a reason (text) why not}."""
    found = run(json.loads(sys.argv[1]))
    print(json.dumps({"version": importlib.metadata.version(package), "seconds": found}))
