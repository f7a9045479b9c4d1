"""taskd beside Dask, Ray and HyperQueue: the same graphs, on this machine, one after the other; JSON or a table.

    tests/bench/make-peers ~/taskd-peers
    TASKD_BIN=build/release/bin python3 -B tests/bench/peers.py --venv ~/taskd-peers [--markdown]

Every result is checked. Without --venv, or what is not in it: skipped, with the reason.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import uuid

import data
import measuring
from measuring import cluster, compile_edges, compiled, spread, timed_jobs
from verified import check_values

HERE = pathlib.Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(HERE))
import workloads  # noqa: E402 (needs the path)

PEERS = {"dask": "distributed", "ray": "ray", "hyperqueue": "hyperqueue"}              # and the package that it comes in
WORKLOADS = ["noops", "tree", "stencil", "chain", "shuffle"]


TINY = {"runs": 1, "noops": 20, "leaves": 8, "width": 4, "steps": 4, "chain": 10, "parts": 4, "shuffle_mib": 1}


def read_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, help="what make-peers made")
    parser.add_argument("--only", default=",".join(["taskd", *PEERS]), help="some of %(default)s")
    parser.add_argument("--markdown", action="store_true", help="a table instead of JSON")
    parser.add_argument("--tiny", action="store_true", help="sizes that show that it works, not how fast")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--noops", type=int, default=5000)
    parser.add_argument("--leaves", type=int, default=1024, help="of the tree, a power of two")
    parser.add_argument("--width", type=int, default=32, help="of the stencil")
    parser.add_argument("--steps", type=int, default=32, help="of the stencil")
    parser.add_argument("--chain", type=int, default=500)
    parser.add_argument("--parts", type=int, default=16, help="of the shuffle: maps, and pieces of each")
    parser.add_argument("--shuffle-mib", type=int, default=256)
    flags = parser.parse_args()
    unknown = set(flags.only.split(",")) - {"taskd", *PEERS}
    if unknown:
        parser.error(f"--only: no system {', '.join(sorted(unknown))}; there are taskd, {', '.join(PEERS)}")
    if flags.tiny:
        vars(flags).update(TINY)
    return flags


def main():
    measuring.stop_on_sigterm()
    flags = read_flags()
    sizes = {name: getattr(flags, name) for name in ("runs", "noops", "leaves", "width", "steps", "chain", "parts")}
    sizes["part_bytes"] = flags.shuffle_mib * data.MIB // flags.parts ** 2
    systems = {}
    for name in flags.only.split(","):
        if name == "taskd":
            version = measuring.run([measuring.BIN / "taskctl", "--version"]).text.split()[-1]
            systems["taskd"] = {"version": version, "seconds": run_taskd(sizes, "checksum")}
            systems["taskd, /bin/true"] = {"version": version, "seconds": run_taskd(sizes, "command")}
        else:
            systems[name] = run_peer(flags.venv, name, sizes)
    for system in systems.values():
        system["seconds"] = {name: found if isinstance(found, str) else spread(found) for name, found in system.get("seconds", {}).items()}
    tasks = {name: len(edges) for name, edges in workloads.graphs(sizes).items()}
    report = {"benchmark": "peers", "sizes": sizes, "tasks": tasks, "systems": systems}
    if flags.markdown:
        print(_table(report))
    else:
        measuring.show(report)
    sys.exit(any("failed" in system for system in systems.values()))


def run_taskd(sizes, body):
    """Workload -> seconds of each run. `checksum` computes values like the peers' functions; `command` is a process a task."""
    found = {}
    with cluster(workers=2, cpus=1) as on:
        for name, edges in workloads.graphs(sizes).items():
            if body == "checksum" and name != "noops":
                check_values(on, edges)
            graph = compile_edges(on, edges, body="noop" if name == "noops" and body == "checksum" else body)
            found[name] = [job["seconds"] for job in timed_jobs(on, graph, len(edges), times=sizes["runs"], warm=1)]
        if body == "command":
            found["shuffle"] = "as built-ins, above"
            return found
        data.check_shuffle(on)
        graph = compiled(on, data.shuffle_graph(sizes["parts"], sizes["part_bytes"]))
        found["shuffle"] = []
        for number in range(sizes["runs"] + 1):
            [job] = timed_jobs(on, graph, 2 * sizes["parts"])
            on.ctl("job", "forget", job["job"])
            if number:
                found["shuffle"].append(job["seconds"])
    return found


def run_peer(venv, name, sizes):
    """The same from a program in the peers' environment. Whatever it has started is gone afterwards."""
    if venv is None:
        return {"skipped": "no --venv"}
    python = venv / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", f"import {PEERS[name]}"], stderr=subprocess.DEVNULL, check=False).returncode:
        return {"skipped": f"{PEERS[name]} is not in {venv}; tests/bench/make-peers {venv} installs it"}
    mark = str(uuid.uuid4())
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen([python, "-B", HERE / f"{name}_peer.py", json.dumps(sizes)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                 env={**os.environ, "TASKD_BENCH_PEER": mark, "TMPDIR": folder})
        try:
            out, err = child.communicate(timeout=measuring.LONG_S)
        finally:
            _end_all(child, f"TASKD_BENCH_PEER={mark}")
    if child.returncode:
        return {"failed": err.decode(errors="replace").splitlines()[-5:]}
    return json.loads(out.splitlines()[-1])


def _end_all(child, mark):
    """Ends the processes, daemons too, that carry the mark in their environment: they are this run's."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGINT)         # so that it ends its daemons itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)
    child.wait()


def _table(report):
    tasks, systems = report["tasks"], report["systems"]
    lines = ["| | " + " | ".join(f"{name}, s" for name in WORKLOADS) + " |", "|---|" + "--:|" * len(WORKLOADS)]
    for name, system in systems.items():
        cells = [_cell(system, workload, tasks) for workload in WORKLOADS]
        lines.append(f"| {name} {system.get('version', '')} | " + " | ".join(cells) + " |")
    sizes = report["sizes"]
    counts = ", ".join(f"{name} {count}" for name, count in tasks.items())
    parts, mib = sizes["parts"], sizes["parts"] ** 2 * sizes["part_bytes"] // data.MIB
    lines += ["", f"Medians of {sizes['runs']} (min-max), then the time a task. Tasks: {counts}; shuffle: {parts} x {parts} pieces, "
              f"{mib} MiB. {os.cpu_count()} cpus, load before {measuring.LOAD_BEFORE:.1f}."]
    for name, system in systems.items():
        reasons = {workload: found for workload, found in system["seconds"].items() if isinstance(found, str)}
        reasons |= {key: system[key] for key in ("skipped", "failed") if key in system}
        lines += [f"* {name}: {key}: {reason}" for key, reason in reasons.items()]
    return "\n".join(lines)


def _cell(system, workload, tasks):
    found = system["seconds"].get(workload)
    if not isinstance(found, dict):
        return "-"
    each = f", {found['median'] / tasks[workload] * 1e6:.0f} us" if workload in tasks else ""
    return f"{found['median']} ({found['min']}-{found['max']}){each}"


if __name__ == "__main__":
    main()
