"""METG(50 %): the shortest task with which a graph still keeps half of the machine at work (Task Bench, SC20).

Efficiency is the time of bare threads that burn the same tasks without any order, measured beside each run, over the
time of the graph. A task's duration is halved until the efficiency is below one half; what gives one half is
interpolated. The granularity of a task is wall time times cores over tasks, as in the paper.
"""

import argparse
import statistics

from measuring import BIN, cluster, compile_edges, limit, rounded, timed_jobs
from patterns import STEPPED, stepped
from verified import check_values

CPUS = 2
BODIES = {"busy": {}, "native": {"library": BIN / "bench_ops.so"}}    # whose work is given in microseconds
START_US = 1024
LONGEST_US = 65_536


def add_flags(parser, name):
    del name
    parser.add_argument("--kinds", type=_kinds, default=list(STEPPED), help="some of them, with commas between")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=125)
    parser.add_argument("--body", choices=list(BODIES), default="busy")


def _kinds(text):
    kinds = text.split(",")
    unknown = set(kinds) - set(STEPPED)
    if unknown:
        raise argparse.ArgumentTypeError(f"no shape {', '.join(sorted(unknown))}; there are {', '.join(STEPPED)}")
    return kinds


def tiny(arguments):
    arguments.width, arguments.steps, arguments.runs = 4, 5, 1


def metg(arguments):
    with cluster(workers=CPUS, cpus=1) as on:
        found = {kind: _measure(on, arguments, kind) for kind in arguments.kinds}
    return {"width": arguments.width, "steps": arguments.steps, "runs": arguments.runs, "workers": CPUS, "cpus_of_each": 1,
            "body": arguments.body, "limit": f"{CPUS} bare threads that burn the same", "kinds": found}


def _measure(on, arguments, kind):
    check_values(on, stepped(kind, 8, 6))
    edges = stepped(kind, arguments.width, arguments.steps)
    points = [_point(on, arguments, edges, START_US)]
    while points[0]["efficiency"] < 0.5 and points[0]["duration_us"] < LONGEST_US:
        points.insert(0, _point(on, arguments, edges, points[0]["duration_us"] * 4))
    while points[-1]["efficiency"] >= 0.5 and points[-1]["duration_us"] > 1:
        points.append(_point(on, arguments, edges, points[-1]["duration_us"] // 2))
    return {"tasks": len(edges), "inputs": sum(map(len, edges)), "metg_us": _crossing(points), "points": points}


def _point(on, arguments, edges, duration):
    graph = compile_edges(on, edges, body=arguments.body, duration_us=duration, **BODIES[arguments.body])
    timed_jobs(on, graph, len(edges))                 # warms up
    efficiencies, granularities = [], []
    for _ in range(arguments.runs):
        bare = len(edges) / limit("busy", len(edges), duration, CPUS)
        [job] = timed_jobs(on, graph, len(edges))
        efficiencies.append(bare / job["seconds"])
        granularities.append(job["seconds"] * CPUS / len(edges) * 1e6)
    return {"duration_us": duration, "efficiency": rounded(statistics.median(efficiencies)),
            "efficiency_min": rounded(min(efficiencies)), "efficiency_max": rounded(max(efficiencies)),
            "granularity_us": rounded(statistics.median(granularities))}


def _crossing(points):
    """The granularity at half efficiency, between the two neighbours that it lies between; None when it lies outside."""
    pairs = [pair for pair in zip(points, points[1:]) if pair[0]["efficiency"] >= 0.5 > pair[1]["efficiency"]]
    if not pairs:
        return None
    above, below = pairs[0]
    share = (above["efficiency"] - 0.5) / (above["efficiency"] - below["efficiency"])
    return rounded(above["granularity_us"] + share * (below["granularity_us"] - above["granularity_us"]))
