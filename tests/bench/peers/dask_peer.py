"""Dask distributed: two worker processes with a thread each. Graphs go through `Client.get`, so nothing is fused."""

import operator
import zlib

import workloads
from dask._task_spec import Task, TaskRef
from distributed import Client, LocalCluster


def nothing():
    return b""


def crc_and_size(*pieces):
    whole = b"".join(pieces)
    return zlib.crc32(whole), len(whole)


def graph_of(name, edges):
    """Key -> task. Keys carry a number of the run: Dask remembers what it has computed."""
    graph_of.runs += 1
    key = f"{name}-{graph_of.runs}"
    graph = {}
    for task, inputs in enumerate(edges):
        if inputs:
            graph[key, task] = Task((key, task), workloads.lines, *[TaskRef((key, at)) for at in inputs])
        else:
            graph[key, task] = Task((key, task), nothing) if name == "noops" else Task((key, task), workloads.leaf, task)
    return graph, [(key, task) for task in workloads.patterns.sinks(edges)]


graph_of.runs = 0


def shuffle_graph(parts, size):
    graph_of.runs += 1
    key = f"shuffle-{graph_of.runs}"
    graph = {}
    for index in range(parts):
        graph[key, "map", index] = Task((key, "map", index), workloads.noise, index, parts, size)
        for k in range(parts):
            name = (key, "part", index, k)
            graph[name] = Task(name, operator.getitem, TaskRef((key, "map", index)), k)
    for k in range(parts):
        graph[key, "merge", k] = Task((key, "merge", k), crc_and_size, *[TaskRef((key, "part", index, k)) for index in range(parts)])
    return graph, [(key, "merge", k) for k in range(parts)]


def run(sizes):
    found = {}
    with LocalCluster(n_workers=workloads.WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            for name, edges in workloads.graphs(sizes).items():
                right = workloads.expected(name, edges)
                found[name] = workloads.timed(sizes["runs"], lambda: client.get(*graph_of(name, edges)),
                                              lambda got: workloads.same(name, list(got), right))
            parts, size = sizes["parts"], sizes["part_bytes"]
            right = [workloads.check_of_merge(k, parts, size) for k in range(parts)]
            found["shuffle"] = workloads.timed(sizes["runs"], lambda: client.get(*shuffle_graph(parts, size)),
                                               lambda got: workloads.same("shuffle", list(got), right))
    return found


if __name__ == "__main__":
    workloads.main("distributed", run)
