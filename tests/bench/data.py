"""Bytes between workers: a shuffle of N x N parts, one object to one worker, one object to many.

The limit is loopback TCP, one stream, for the bytes that had to reach another worker; writing and checking them is not in
it, so a ratio of one is out of reach for whatever copies.
"""

import contextlib
import time
import urllib.request

from measuring import LONG_S, cluster, compiled, limit, median_ratio, rounded, spread, timed_jobs
from harness import start_daemon  # noqa: E402 (measuring knows the way to it)

MIB = 1 << 20


def add_flags(parser, name):
    parser.add_argument("--mib", type=int, default={"shuffle": 1024, "transfer": 1024, "broadcast": 256}[name], help="of data")
    if name == "broadcast":
        parser.add_argument("--receivers", type=int, default=8, help="workers that read it")
        parser.add_argument("--no-file-passing", action="store_true", help="they copy it, as workers of other hosts do")
    if name == "shuffle":
        parser.add_argument("--parts", type=int, default=16, help="maps, and parts of each")


def tiny(arguments):
    arguments.mib, arguments.runs = 2, 1
    if hasattr(arguments, "parts"):
        arguments.parts = 4


def _report(arguments, workers, took, limits, **more):
    return {"mib": arguments.mib, "runs": arguments.runs, "workers": workers, "cpus_of_each": 1, **more, "seconds": spread(took),
            "limit": "loopback TCP, one stream, for the bytes that reached another worker", "limit_seconds": spread(limits),
            "times_the_limit": median_ratio(took, limits)}


# Shuffle

def _maps(parts, part_bytes):
    outputs = ", ".join(f"p{k}" for k in range(parts))
    builtin = f"{{name: generate, size: {part_bytes}}}"
    return f"taskd: 1\ntasks:\n- {{name: map, over: {{i: 0..{parts - 1}}}, builtin: {builtin}, out: [{outputs}]}}\n"


def shuffle_graph(parts, part_bytes):
    merges = [f'- {{name: merge{k}, in: {{p: "map[*].p{k}"}}, builtin: concat, out: [c]}}' for k in range(parts)]
    wants = ", ".join(f"merge{k}.c" for k in range(parts))
    return _maps(parts, part_bytes) + "\n".join(merges) + f"\nwant: [{wants}]\n"


def check_shuffle(on, parts=4, part_bytes=100_000):
    """That merge k is part k of each map, byte for byte: the maps' own results are wanted here, too."""
    wants = ", ".join(f'"map[*].p{k}"' for k in range(parts))
    text = shuffle_graph(parts, part_bytes).replace("want: [", f"want: [{wants}, ")
    job, _ = on.run_graph(text)
    for k in range(parts):
        pieces = [on.get(job, f"map[{i}].p{k}") for i in range(parts)]
        assert len(set(pieces)) == parts and {len(piece) for piece in pieces} == {part_bytes}, "the maps' results"
        assert on.get(job, f"merge{k}.c") == b"".join(pieces), f"merge{k}.c"
    on.ctl("job", "forget", job)


def shuffle(arguments):
    part_bytes = arguments.mib * MIB // arguments.parts ** 2
    took, limits, moved, maps = [], [], [], []
    with cluster(workers=2, cpus=1) as on:
        check_shuffle(on)
        graph = compiled(on, shuffle_graph(arguments.parts, part_bytes))
        only_maps = compiled(on, _maps(arguments.parts, part_bytes), "maps")
        for _ in range(arguments.runs):
            [job] = timed_jobs(on, graph, 2 * arguments.parts)
            info = on.job(job["job"])
            sizes = {want["size_bytes"] for want in info["wants"]}
            assert len(info["wants"]) == arguments.parts and sizes == {arguments.parts * part_bytes}, info
            took.append(job["seconds"])
            moved.append(info["bytes_moved"])
            limits.append(max(1, info["bytes_moved"]) / limit("stream", max(MIB, info["bytes_moved"])))
            on.ctl("job", "forget", job["job"])
            maps.append(timed_jobs(on, only_maps, arguments.parts)[0]["seconds"])
    return _report(arguments, 2, took, limits, making_alone_seconds=spread(maps), parts=arguments.parts,
                   moved_mib=rounded(max(moved) / MIB))


# One object to others

def transfer(arguments):
    took, limits, got = [], [], []
    with cluster(workers=2, cpus=1) as on:
        for number in range(arguments.runs):
            made = _make_dataset(on, arguments.mib * MIB, number)
            limits.append(arguments.mib * MIB / limit("stream", arguments.mib * MIB))
            took.append(_deliver(on, number, ["worker-2"], arguments.mib * MIB))
            start = time.monotonic()
            on.ctl("-q", "object", "get", made, "make.v", "-O", on.files / "got", timeout_s=LONG_S)
            got.append(time.monotonic() - start)
            assert (on.files / "got").stat().st_size == arguments.mib * MIB
            (on.files / "got").unlink()
            _drop_dataset(on, made, number)
    return _report(arguments, 2, took, limits, taskctl_object_get_seconds=spread(got))


def broadcast(arguments):
    receivers = arguments.receivers
    workers = [f"worker-{n + 2}" for n in range(receivers)]
    took, limits, from_maker = [], [], []
    with cluster(workers=1, cpus=1) as on, contextlib.ExitStack() as daemons:
        for worker in workers:
            start_daemon(daemons.callback, "taskd-worker", on.dir, on.files / f"{worker}.ready", "--name", worker, "--cpus", 1,
                         "--work-dir", on.files / worker, *["--no-file-passing"] * arguments.no_file_passing)
        for number in range(arguments.runs):
            made = _make_dataset(on, arguments.mib * MIB, number)
            limits.append(receivers * arguments.mib * MIB / limit("stream", receivers * arguments.mib * MIB))
            before = _served_bytes(on, "worker-1")
            took.append(_deliver(on, number, workers, arguments.mib * MIB))
            from_maker.append((_served_bytes(on, "worker-1") - before) / arguments.mib / MIB)
            _drop_dataset(on, made, number)
    return _report(arguments, receivers + 1, took, limits, receivers=receivers, copies_from_the_maker=spread(from_maker))


def _served_bytes(on, worker):
    """What it has sent to others so far; its own count, which heartbeats tell the scheduler later."""
    address = on.worker_list()[worker]["metrics_address"]
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Authorization": f"Bearer {on.key()}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith("taskd_worker_served_bytes_total ")]
    return float(line.split()[1])


def _make_dataset(on, size, number):
    """A result that worker-1 alone has, under a name that graphs can read."""
    job, _ = on.run_graph(f"taskd: 1\ntasks:\n- {{name: make, builtin: {{name: generate, size: {size}}}, out: [v], "
                          "placement: {workers: [worker-1]}}\nwant: [make.v]\n", timeout_s=LONG_S)
    on.ctl("dataset", "publish", f"data-{number}", job, "make.v")
    return job


def _drop_dataset(on, job, number):
    on.ctl("dataset", "drop", f"data-{number}")
    on.ctl("job", "forget", job)


def _readers(number, builtin, workers):
    tasks = [f"- {{name: t{i}, in: {{x: {{dataset: data-{number}}}}}, builtin: {builtin}, out: [v], placement: {{workers: [{worker}]}}}}"
             for i, worker in enumerate(workers)]
    return "taskd: 1\ntasks:\n" + "\n".join(tasks) + "\n"


def _deliver(on, number, workers, size):
    """Seconds until a no-op that reads it has run on each of the workers; then each one's bytes are compared with worker-1's."""
    graph = compiled(on, _readers(number, "noop", workers))
    [job] = timed_jobs(on, graph, len(workers))
    moved = on.job(job["job"])["bytes_moved"]
    assert moved == len(workers) * size, f"{moved} bytes moved, not {len(workers)} times {size}"
    everybody = ["worker-1", *workers]
    text = _readers(number, "checksum", everybody) + f"want: [{', '.join(f't{i}.v' for i in range(len(everybody)))}]\n"
    check, _ = on.run_graph(text, timeout_s=LONG_S)
    seen = {on.get(check, f"t{i}.v") for i in range(len(everybody))}
    assert len(seen) == 1 and seen.pop().endswith(b" %d\n" % size), seen
    return job["seconds"]
