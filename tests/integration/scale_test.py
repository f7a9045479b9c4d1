"""Many tasks: none is lost, none is done twice, and questions are answered while they run."""

import unittest

from harness import Cluster, ClusterTest

NOOPS = 50_000


class ScaleTest(ClusterTest):
    WORKERS = 2

    def test_50000_noops(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: n, over: {{i: 0..{NOOPS - 1}}}, builtin: noop, out: [v]}}
- {{name: all, in: {{v: "n[*].v"}}, builtin: noop, out: [v]}}
want: [all.v]
""", timeout_s=240)
        info = self.cluster.job(job)
        self.assertEqual((info["state"], info["done"], info["total"]), ("done", NOOPS + 1, NOOPS + 1))
        self.assertEqual((info["failed"], info["recomputed"], info["retried"]), (0, 0, 0))
        workers = self.cluster.worker_list()
        self.assertEqual(sum(worker["tasks_finished"] for worker in workers.values()), NOOPS + 1)
        for name, worker in workers.items():
            self.assertGreater(worker["tasks_finished"], NOOPS / 10, name)

    def test_lists_are_paged(self):
        job, _ = self.cluster.run_graph("taskd: 1\ntasks:\n- {name: n, over: {i: 0..2999}, builtin: noop, out: [v]}\n")
        keys = [task["key"] for task in self.cluster.json("task", "list", job)["tasks"]]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertLessEqual(len(keys), 3000)
        one = self.cluster.ctl("-q", "task", "list", job, "n[2999]").text.split()
        self.assertEqual(len(one), 1)


class ZeroTest(unittest.TestCase):
    """Zero workers acknowledge tasks and run nothing."""

    def test_nothing_runs(self):
        cluster = Cluster(workers=2, cpus=1, zero=True)
        self.addCleanup(cluster.stop)
        mark = cluster.files / "ran"
        job, _ = cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: first, over: {{i: 0..199}}, sh: "touch {mark}; exit 1", stdout: o}}
- {{name: all, in: {{v: "first[*].o"}}, argv: [/nowhere], stdout: o}}
want: [all.o]
""")
        info = cluster.job(job)
        self.assertEqual((info["state"], info["done"], info["total"]), ("done", 201, 201))
        self.assertFalse(mark.exists())
        self.assertEqual(cluster.get(job, "all.o"), b"")


if __name__ == "__main__":
    unittest.main()
