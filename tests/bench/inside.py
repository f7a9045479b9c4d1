"""Tasks that a Python task makes: spawned all at once and waited for, and one after the other, each got before the next."""

import json

from measuring import NOOP_WIRE_BYTES, cluster, limit, median_ratio, percentile, spread

# What `many` and `one_by_one` return is checked by themselves: a wrong value fails the task.
MODULE = """
import json
import time

import taskd


def same(i):
    return i


def many(n):
    taskd.get(taskd.spawn(same, 0))           # warms up
    begin = time.monotonic()
    refs = [taskd.spawn(same, i) for i in range(int(n))]
    taskd.wait(refs)
    seconds = time.monotonic() - begin
    assert taskd.get(refs[-10:]) == list(range(int(n)))[-10:]
    return json.dumps(seconds).encode()


def one_by_one(n):
    taskd.get(taskd.spawn(same, 0))
    seconds = []
    for i in range(int(n)):
        begin = time.monotonic()
        assert taskd.get(taskd.spawn(same, i)) == i
        seconds.append(time.monotonic() - begin)
    return json.dumps(seconds).encode()
"""


def add_flags(parser, name):
    del name
    parser.add_argument("--tasks", type=int, default=5000, help="spawned at once")
    parser.add_argument("--gets", type=int, default=500, help="spawned one after the other")


def tiny(arguments):
    arguments.tasks, arguments.gets, arguments.runs = 50, 10, 1


def inside(arguments):
    rates, medians, limits = [], [], []
    with cluster(workers=2, cpus=1) as on:
        (on.files / "inside_bench.py").write_text(MODULE)
        for _ in range(arguments.runs):
            limits.append(1e3 / limit("roundtrip", 5000, NOOP_WIRE_BYTES))
            rates.append(arguments.tasks / _call(on, "many", arguments.tasks))
            medians.append(percentile(_call(on, "one_by_one", arguments.gets), 50) * 1e3)
    return {
        "tasks": arguments.tasks, "gets": arguments.gets, "runs": arguments.runs, "workers": 2, "cpus_of_each": 1,
        "spawned_per_second": spread(rates), "spawn_and_get_ms": spread(medians),
        "limit": "a round trip over loopback TCP for each spawn and get", "limit_ms": spread(limits),
        "times_the_limit": median_ratio(medians, limits),
    }


def _call(on, function, n):
    job, _ = on.run_graph(f"""
taskd: 1
vars: {{n: {n}}}
tasks:
- {{name: f, retry: 0, python: {{call: 'inside_bench:{function}', path: '{on.files}'}}, out: [v]}}
want: [f.v]
""")
    return json.loads(on.get(job, "f.v"))
