"""Many independent tasks: built-in no-ops, and commands beside other ways to start as many processes."""

import shutil
import subprocess
import time

from measuring import BIN, NOOP_WIRE_BYTES, cluster, compiled, cpu_seconds, limit, median_ratio, spread

WIRE_BATCH = 512
BODIES = {
    "builtin": "builtin: noop, out: [v]",
    "native": "native: {{library: '{bin}/test_ops.so', function: noop}}, out: [v]",
    "python": "python: {{call: 'bench_noop:noop', path: '{files}'}}, out: [v]",
    "command": "argv: [/bin/true], stdout: o",
}


def add_flags(parser, name):
    if name == "noops":
        parser.add_argument("--body", choices=BODIES, default="builtin", help="what a no-op is: a function of a library, of Python ...")
    parser.add_argument("--tasks", type=int, default=50_000 if name == "noops" else 3_000)
    parser.add_argument("--zero", action="store_true", help="workers that acknowledge tasks and run nothing")


def tiny(arguments):
    arguments.tasks, arguments.runs = 200, 1


def noops(arguments):
    return _measure(arguments, arguments.body, lambda: limit("wire", arguments.tasks, NOOP_WIRE_BYTES, WIRE_BATCH),
                    "loopback TCP, the same bytes there and back in batches", {})


def commands(arguments):
    others = {} if arguments.zero else _other_tools(arguments.tasks)
    report = _measure(arguments, "command", lambda: limit("spawn", arguments.tasks, 2),
                      "posix_spawn + wait of /bin/true, 2 at a time", others)
    if "parallel" not in others:
        report["skipped"] = {"parallel": "GNU parallel is not installed (Debian's package parallel)"}
    return report


def _other_tools(tasks):
    """Name -> a run of as many /bin/true, two at a time; its rate."""
    lines = "\n".join(map(str, range(tasks))) + "\n"

    def rate(*argv):
        start = time.monotonic()
        subprocess.run(argv, input=lines.encode(), check=True, stdout=subprocess.DEVNULL)      # fails when one of them does
        return tasks / (time.monotonic() - start)

    found = {"xargs": lambda: rate("xargs", "-P", "2", "-n", "1", "/bin/true")}
    if shutil.which("parallel"):
        found["parallel"] = lambda: rate("parallel", "--will-cite", "-j", "2", "/bin/true")
    return found


def _measure(arguments, body, limit_rate, limit_is, others):
    tasks = arguments.tasks
    rates, limits, cpu, other_rates = [], [], [], {name: [] for name in others}
    with cluster(workers=2, cpus=1, zero=arguments.zero) as on:
        (on.files / "bench_noop.py").write_text("def noop():\n    return b''\n")
        what = BODIES[body].format(bin=BIN.resolve(), files=on.files)
        graph = compiled(on, f"taskd: 1\ntasks:\n- {{name: n, over: {{i: 0..{tasks - 1}}}, {what}}}\n")
        for number in range(arguments.runs + 1):
            beside = {name: other() for name, other in others.items()}
            limit_now, before = limit_rate(), cpu_seconds(on.pids())
            start = time.monotonic()
            on.ctl("-q", "run", graph, timeout_s=600)
            seconds = time.monotonic() - start
            after = cpu_seconds(on.pids())
            info = on.job(on.last_job())
            assert (info["state"], info["done"]) == ("done", tasks), info
            if number == 0:
                continue                              # the first run warms caches up and is not counted
            limits.append(limit_now)
            rates.append(tasks / seconds)
            cpu.append({who: (after[who] - before[who]) / tasks * 1e6 for who in after})
            for name, rate in beside.items():
                other_rates[name].append(rate)
    return {
        "body": body, "tasks": tasks, "runs": arguments.runs, "workers": 2, "cpus_of_each": 1, "zero_workers": arguments.zero,
        "tasks_per_second": spread(rates),
        "limit": limit_is, "limit_per_second": spread(limits), "ratio_to_limit": median_ratio(rates, limits),
        "others_per_second": {name: spread(found) for name, found in other_rates.items()},
        "daemon_cpu_us_per_task": {who: spread([sample[who] for sample in cpu])["median"] for who in cpu[0]},
    }
