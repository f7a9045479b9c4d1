"""Ray on one node with two cpus: remote functions, whose results are the arguments of others."""

import os
import tempfile
import zlib

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray  # noqa: E402 (reads the environment)
import workloads  # noqa: E402


@ray.remote(num_cpus=1)
def nothing():
    return b""


@ray.remote(num_cpus=1)
def leaf(task):
    return workloads.leaf(task)


@ray.remote(num_cpus=1)
def lines(*inputs):
    return workloads.lines(*inputs)


@ray.remote(num_cpus=1)
def crc_and_size(*pieces):
    whole = b"".join(pieces)
    return zlib.crc32(whole), len(whole)


def run_graph(name, edges):
    made = []
    for task, inputs in enumerate(edges):
        if inputs:
            made.append(lines.remote(*[made[at] for at in inputs]))
        else:
            made.append(nothing.remote() if name == "noops" else leaf.remote(task))
    return ray.get([made[task] for task in workloads.patterns.sinks(edges)])


def run_shuffle(parts, size):
    noise = ray.remote(num_cpus=1, num_returns=parts)(workloads.noise)
    maps = [noise.remote(index, parts, size) for index in range(parts)]
    return ray.get([crc_and_size.remote(*[pieces[k] for pieces in maps]) for k in range(parts)])


def run(sizes):
    found = {}
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(num_cpus=workloads.WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=folder,
                 object_store_memory=4 * sizes["parts"] ** 2 * sizes["part_bytes"] + (512 << 20),
                 runtime_env={"env_vars": {"PYTHONPATH": here}})
        try:
            for name, edges in workloads.graphs(sizes).items():
                right = workloads.expected(name, edges)
                found[name] = workloads.timed(sizes["runs"], lambda: run_graph(name, edges),
                                              lambda got: workloads.same(name, got, right))
            parts, size = sizes["parts"], sizes["part_bytes"]
            right = [workloads.check_of_merge(k, parts, size) for k in range(parts)]
            found["shuffle"] = workloads.timed(sizes["runs"], lambda: run_shuffle(parts, size),
                                               lambda got: workloads.same("shuffle", got, right))
        finally:
            ray.shutdown()
    return found


if __name__ == "__main__":
    workloads.main("ray", run)
