"""What the end-to-end benchmarks share: a cluster, timed jobs, limits of the machine, spreads."""

import contextlib
import json
import math
import os
import pathlib
import signal
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BIN, Cluster, run  # noqa: E402 (needs the path)

LONG_S = 1800                                         # for one run of a program; nothing is measured by it

# About what one no-op costs on the wire between scheduler and worker: its assignment, its start and its outcome.
NOOP_WIRE_BYTES = 160


@contextlib.contextmanager
def cluster(**how):
    """A cluster that is stopped, and its processes seen to be gone, however the block ends."""
    started = Cluster(**how)
    try:
        yield started
    finally:
        started.stop()


def stop_on_sigterm():
    """SIGTERM unwinds like Ctrl-C, so that daemons are stopped."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)


def tool(name, *arguments):
    """Runs one of our programs; what it printed as JSON, or nothing."""
    result = run([BIN / name, *arguments], timeout_s=LONG_S)
    assert result.code == 0, result
    return result.json if result.out else None


def limit(what, *arguments):
    """The bare mechanism, measured now: how many a second (`limits.cc`)."""
    return tool("taskd_bench_limits", what, *arguments)["per_second"]


def _words(flags):
    return [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]


def compile_edges(on, edges, name="graph", **flags):
    """A .tgraph of tasks t[0], t[1] ... where task i reads the outputs of edges[i]."""
    text, graph = on.files / f"{name}.edges", on.files / f"{name}.tgraph"
    text.write_text("".join(" ".join(map(str, inputs)) + "\n" for inputs in edges))
    tool("taskd_bench_client", "compile", text, "-O", graph, *_words(flags))
    return graph


def timed_jobs(on, graph, tasks, **flags):
    """Runs the graph as several jobs in one open session; a dict each, every task of it done."""
    jobs = tool("taskd_bench_client", "run", graph, "--dir", on.dir, *_words(flags))["jobs"]
    assert all(job["done"] == tasks for job in jobs), jobs
    return jobs


def compiled(on, text, name="graph"):
    """A .tgraph from graph text, so that what is timed does not compile."""
    graph = on.files / f"{name}.tgraph"
    on.ctl("graph", "compile", on.graph(text, f"{name}.yaml"), "-O", graph)
    return graph


def cpu_seconds(pids):
    """User and system time that each process has used, its waited-for children not counted."""
    tick = os.sysconf("SC_CLK_TCK")
    used = {}
    for name, pid in pids.items():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        used[name] = (int(fields[11]) + int(fields[12])) / tick
    return used


def rounded(value):
    """Four digits that mean something."""
    return value if value == 0 else round(value, max(0, 3 - math.floor(math.log10(abs(value)))))


def spread(values):
    return {"median": rounded(statistics.median(values)), "min": rounded(min(values)), "max": rounded(max(values))}


def percentile(values, percent):
    """The smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def quantiles(values):
    return {"p50": rounded(percentile(values, 50)), "p99": rounded(percentile(values, 99)), "max": rounded(max(values)),
            "samples": len(values)}


def median_ratio(values, limits):
    """Of each value to the limit that was measured beside it."""
    return rounded(statistics.median(value / beside for value, beside in zip(values, limits)))


def show(report):
    print(json.dumps({**report, "machine_cpus": os.cpu_count(), "load_average_before": LOAD_BEFORE}, indent=2))


LOAD_BEFORE = os.getloadavg()[0]                      # what else ran here: figures of a busy machine compare only within a run
