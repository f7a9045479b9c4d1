"""HyperQueue: two workers with a cpu each. A task is a process (/bin/true) that waits for others; no data moves.

One task more than the graph has tells that all of it has run."""

import pathlib
import tempfile
import time

import workloads
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def run_graph(client, mark, edges):
    """Until the last task's file is there: `wait_for_jobs` looks once a second. Returns the job, for it."""
    job = Job(default_workdir=mark.parent)
    made = []
    for inputs in edges:
        made.append(job.program(["/bin/true"], deps=[made[at] for at in inputs], stdout=None, stderr=None))
    last = [made[task] for task in workloads.patterns.sinks(edges)]
    job.program(["/bin/touch", str(mark)], deps=last, stdout=None, stderr=None)
    submitted = client.submit(job)
    while not mark.exists():
        time.sleep(0.001)
    mark.unlink()
    return submitted


def run(sizes):
    found = {"shuffle": "it moves no data between tasks"}
    with tempfile.TemporaryDirectory(prefix="hq-") as folder:
        with LocalCluster(f"{folder}/server") as cluster:
            for _ in range(workloads.WORKERS):
                cluster.start_worker(WorkerConfig(cores=1))
            client, mark = cluster.client(), pathlib.Path(folder) / "mark"
            for name, edges in workloads.graphs(sizes).items():
                found[name] = workloads.timed(sizes["runs"], lambda: run_graph(client, mark, edges),
                                              lambda job: workloads.same(name, client.wait_for_jobs([job]), True))
    return found


if __name__ == "__main__":
    workloads.main("hyperqueue", run)
