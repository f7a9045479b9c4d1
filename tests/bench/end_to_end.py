"""End-to-end figures of real daemons on this machine, as JSON, each with the physical limit beside it.

    TASKD_BIN=build/release/bin python3 -B tests/bench/end_to_end.py noops [--tasks 50000] [--runs 5] [--zero] [--body native]
    TASKD_BIN=build/release/bin python3 -B tests/bench/end_to_end.py commands [--tasks 3000] [--runs 5]

With --body the no-op is a function of a library, a Python function or a command in place of the built-in.
With --zero workers acknowledge tasks and run nothing: what is left is the scheduler, its client and the wire.

A run is timed from the start of `taskctl run FILE.tgraph` to its end. Nothing here passes or fails by a time: what must
hold is that every task is done.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BIN, Cluster, run  # noqa: E402 (needs the path)

# About what one no-op costs on the wire between scheduler and worker: its assignment, its start and its outcome.
NOOP_WIRE_BYTES = 160
NOOP_WIRE_BATCH = 512

GRAPHS = {
    "noops": "taskd: 1\ntasks:\n- {{name: n, over: {{i: 0..{last}}}, builtin: noop, out: [v]}}\n",
    "native": "taskd: 1\ntasks:\n- {{name: n, over: {{i: 0..{last}}}, native: {{library: '{bin}/test_ops.so', function: noop}}, out: [v]}}\n",
    "python": "taskd: 1\ntasks:\n- {{name: n, over: {{i: 0..{last}}}, python: {{call: 'bench_noop:noop', path: '{files}'}}, out: [v]}}\n",
    "commands": "taskd: 1\ntasks:\n- {{name: n, over: {{i: 0..{last}}}, argv: [/bin/true], stdout: o}}\n",
}


def limit_rate(name, tasks):
    """Tasks a second of the bare mechanism, measured now."""
    arguments = ["spawn", tasks, 2] if name == "commands" else ["wire", tasks, NOOP_WIRE_BYTES, NOOP_WIRE_BATCH]
    result = run([BIN / "taskd_bench_limits", *arguments])
    assert result.code == 0, result
    return result.json["per_second"]


def cpu_seconds(pids):
    """User and system time that each process has used, its waited-for children not counted."""
    tick = os.sysconf("SC_CLK_TCK")
    used = {}
    for name, pid in pids.items():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        used[name] = (int(fields[11]) + int(fields[12])) / tick
    return used


def measure(name, tasks, runs, zero):
    cluster = Cluster(workers=2, cpus=1, zero=zero)
    try:
        (cluster.files / "bench_noop.py").write_text("def noop():\n    return b''\n")
        yaml = cluster.graph(GRAPHS[name].format(last=tasks - 1, bin=BIN.resolve(), files=cluster.files))
        graph = cluster.files / "graph.tgraph"
        cluster.ctl("graph", "compile", yaml, "-O", graph)
        rates, limits, cpu = [], [], []
        for number in range(runs + 1):
            limit = limit_rate(name, tasks)
            before = cpu_seconds(cluster.pids())
            start = time.monotonic()
            cluster.ctl("-q", "run", graph, timeout_s=600)
            seconds = time.monotonic() - start
            after = cpu_seconds(cluster.pids())
            info = cluster.job(cluster.last_job())
            assert (info["state"], info["done"]) == ("done", tasks), info
            if number == 0:
                continue                              # the first run warms caches up and is not counted
            limits.append(limit)
            rates.append(tasks / seconds)
            cpu.append({who: (after[who] - before[who]) / tasks * 1e6 for who in after})
        return {
            "benchmark": name, "tasks": tasks, "runs": runs, "workers": 2, "zero_workers": zero, "cpus_of_each": 1, "machine_cpus": os.cpu_count(),
            "tasks_per_second": {"median": round(statistics.median(rates)), "min": round(min(rates)), "max": round(max(rates))},
            "limit": "loopback TCP, the same bytes in batches" if name != "commands" else "posix_spawn + wait of /bin/true, 2 at a time",
            "limit_per_second": {"median": round(statistics.median(limits)), "min": round(min(limits)), "max": round(max(limits))},
            "ratio_to_limit": round(statistics.median([r / l for r, l in zip(rates, limits)]), 4),
            "daemon_cpu_us_per_task": {who: round(statistics.median([sample[who] for sample in cpu]), 2) for who in cpu[0]},
        }
    finally:
        cluster.stop()


def main():
    parser = argparse.ArgumentParser(description="End-to-end benchmarks of real daemons")
    parser.add_argument("benchmark", choices=["commands", "noops"])
    parser.add_argument("--body", choices=["builtin", "native", "python", "command"], default="builtin", help="what a no-op is")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--zero", action="store_true", help="workers that acknowledge tasks and run nothing")
    arguments = parser.parse_args()
    name = {"builtin": arguments.benchmark, "command": "commands"}.get(arguments.body, arguments.body)
    tasks = arguments.tasks or {"noops": 50_000, "native": 20_000, "python": 10_000, "commands": 3_000}[name]
    print(json.dumps(measure(name, tasks, arguments.runs, arguments.zero), indent=2))


if __name__ == "__main__":
    main()
