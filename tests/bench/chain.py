"""A chain: each no-op waits for the one before it, on one worker, and turn by turn on two; there also with checksums of a few bytes
instead of empty results."""

from measuring import NOOP_WIRE_BYTES, cluster, compile_edges, limit, median_ratio, spread, timed_jobs
from patterns import chain as chain_edges
from verified import check_values


def add_flags(parser, name):
    del name
    parser.add_argument("--tasks", type=int, default=10_000)


def tiny(arguments):
    arguments.tasks, arguments.runs = 100, 1


def chain(arguments):
    return {
        "tasks": arguments.tasks, "runs": arguments.runs,
        "limit": "a round trip over loopback TCP for each task", "one_worker": _measure(arguments, 1), "across_two": _measure(arguments, 2),
        "values_across_two": _measure(arguments, 2, "checksum"),
    }


def _measure(arguments, workers, body="noop"):
    edges = chain_edges(arguments.tasks)
    pin = {"pin": "worker-1,worker-2"} if workers == 2 else {}
    took, limits = [], []
    with cluster(workers=workers, cpus=1) as on:
        check_values(on, chain_edges(50), **pin)
        graph = compile_edges(on, edges, body=body, **pin)
        timed_jobs(on, graph, arguments.tasks)        # warms up
        for _ in range(arguments.runs):
            limits.append(1e6 / limit("roundtrip", 5000, NOOP_WIRE_BYTES))
            [job] = timed_jobs(on, graph, arguments.tasks)
            took.append(job["seconds"] / arguments.tasks * 1e6)
    return {"us_per_task": spread(took), "limit_us_per_task": spread(limits), "times_the_limit": median_ratio(took, limits)}
