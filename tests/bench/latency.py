"""One no-op job after the other: how long from submit to the news of its end."""

import time

from measuring import NOOP_WIRE_BYTES, cluster, compile_edges, limit, median_ratio, percentile, quantiles, rounded, timed_jobs
from patterns import independent

BUDGET_MS = {"p50": 0.5, "p99": 5}


def add_flags(parser, name):
    del name
    parser.add_argument("--jobs", type=int, default=1000, help="back to back, in each run")
    parser.add_argument("--gaps", type=int, default=30, help="jobs with a second before each")
    parser.add_argument("--commands", type=int, default=30, help="runs of taskctl")


def tiny(arguments):
    arguments.jobs, arguments.gaps, arguments.commands, arguments.runs = 20, 1, 2, 1


def latency(arguments):
    with cluster(workers=2, cpus=1) as on:
        graph = compile_edges(on, independent(1))

        def jobs(count, gap_ms):
            return timed_jobs(on, graph, 1, times=count, warm=0 if gap_ms else 50, gap_ms=gap_ms)

        close, medians, limits = [], [], []
        for _ in range(arguments.runs):
            limits.append(2 / limit("roundtrip", 5000, NOOP_WIRE_BYTES) * 1e3)
            now = jobs(arguments.jobs, 0)
            medians.append(percentile([job["seconds"] for job in now], 50) * 1e3)
            close += now
        apart = jobs(arguments.gaps, 1000)
        command = []
        for _ in range(arguments.commands):
            start = time.monotonic()
            on.ctl("-q", "run", graph)
            command.append(time.monotonic() - start)
        info = on.job(on.last_job())
        assert (info["state"], info["done"]) == ("done", 1), info

    def ms(seconds):
        return quantiles([value * 1e3 for value in seconds])

    return {
        "runs": arguments.runs, "workers": 2, "cpus_of_each": 1, "budget_ms": BUDGET_MS,
        "back_to_back_ms": ms([job["seconds"] for job in close]),
        "back_to_back_accepted_ms": ms([job["accepted_seconds"] for job in close]),
        "gaps_of_1_s_ms": ms([job["seconds"] for job in apart]),
        "taskctl_run_ms": ms(command),                # start of the process, connect, submit, end
        "limit": "two round trips over loopback TCP between threads: client - scheduler, scheduler - worker",
        "limit_ms": rounded(percentile(limits, 50)), "times_the_limit": median_ratio(medians, limits),
    }
