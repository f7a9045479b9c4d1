"""Workers that die, stop, or lose their connection in the middle of a job: the result stays the same."""

import re
import signal
import subprocess
import unittest

from graphs import SHUFFLE, SUMS, TOTAL, gated_shuffle
from harness import BIN, Cluster, ClusterTest, Gate, alive, until
from proxy import Proxy, worker_behind


class OwnClusterTest(ClusterTest):
    """A cluster for each test: they break it."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        self.cluster = Cluster(self.WORKERS, self.CPUS)
        self.addCleanup(self.cluster.stop)


class DeadWorkerTest(OwnClusterTest):
    WORKERS = 1

    def test_the_next_one_tells_what_ran(self):
        gate = Gate(self.cluster)
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- name: hold
  over: {{i: 0..1}}
  sh: |
    {gate.here("hold$i")}
    {gate.wait}
""")
        gate.await_come(2)
        folder = next((self.cluster.dir / "local").glob("worker-1*/lock")).parent
        self.cluster.kill("worker-1")
        log = self.cluster.files / "again.log"
        with log.open("wb") as stderr:
            again = subprocess.Popen([BIN / "taskd-worker", "--dir", self.cluster.dir, "--name", "again", "--cpus", "2",
                                      "--work-dir", folder], stdin=subprocess.DEVNULL, stderr=stderr)
        self.addCleanup(again.wait)
        self.addCleanup(again.terminate)
        for i in range(2):
            until(lambda: re.search(f"died while it ran hold\\[{i}\\] of job {job} ", log.read_text()), f"hold[{i}] to be named")
        gate.open()
        self.cluster.wait(job)


class FaultTest(OwnClusterTest):
    def assert_right(self, job):
        self.assertEqual(self.cluster.get(job, "total.n"), b"%d\n" % TOTAL)
        self.assertEqual([self.cluster.get(job, f"sum[{k}].s") for k in range(4)], [b"%d\n" % s for s in SUMS])
        self.assertEqual(self.cluster.get(job, "cut[3].p"), b"9\n10\n11\n12\n")

    def half_way(self):
        """A job with some cuts done, results lying on every worker, and the other cuts running."""
        gate = Gate(self.cluster)
        job = self.cluster.submit(gated_shuffle(gate, free=6))
        until(lambda: self.cluster.job(job)["done"] >= 6, "six cuts to be done")
        gate.await_come(12)
        return job, gate

    def test_kill_9(self):
        job, gate = self.half_way()
        held = {name: worker["objects"] for name, worker in self.cluster.worker_list().items()}
        self.cluster.kill("worker-2")
        gate.open()
        self.cluster.wait(job)
        self.assert_right(job)
        status = self.cluster.status()
        self.assertEqual((status["workers_up"], status["workers_lost"]), (2, 1))
        if held["worker-2"] > 0:
            self.assertGreater(self.cluster.job(job)["recomputed"], 0)
        # Wanted results are rebuilt when their only holder dies after the end, too.
        self.cluster.kill("worker-1")
        self.assert_right(job)

    def test_stop_and_continue(self):
        job, gate = self.half_way()
        self.cluster.kill("worker-1", signal.SIGSTOP)
        gate.open()
        self.cluster.wait(job)                        # after the silence is noticed, without that worker
        self.assert_right(job)
        self.cluster.kill("worker-1", signal.SIGCONT)
        until(lambda: self.cluster.status()["workers_up"] == 3, "the worker to be back")
        job, _ = self.cluster.run_graph(SHUFFLE % ":")
        self.assert_right(job)

    def test_drained_worker_gets_nothing_new(self):
        job, gate = self.half_way()
        self.cluster.ctl("worker", "drain", "worker-3")
        gate.open()
        self.cluster.wait(job)
        self.assert_right(job)
        until(lambda: self.cluster.worker_list()["worker-3"]["state"] == "drained", "worker-3 to be drained")
        before = self.cluster.worker_list()["worker-3"]["tasks_finished"]
        job, _ = self.cluster.run_graph(SHUFFLE % ":")
        self.assert_right(job)
        self.assertEqual(self.cluster.worker_list()["worker-3"]["tasks_finished"], before)

    def test_retired_worker_leaves_nothing_behind(self):
        job, _ = self.cluster.run_graph(SHUFFLE % ":")
        wanted = {name: w["objects"] for name, w in self.cluster.worker_list().items()}
        leaver = max(wanted, key=wanted.get)
        self.assertGreater(wanted[leaver], 0)
        pid = self.cluster.pids()[leaver]
        self.cluster.ctl("worker", "retire", leaver)
        until(lambda: not alive(pid), f"{leaver} to stop by itself")
        until(lambda: self.cluster.worker_list().get(leaver, {"state": "lost"})["state"] == "lost", "it to be gone")
        self.assertEqual(self.cluster.get(job, "total.n"), b"%d\n" % TOTAL)
        self.assertEqual([self.cluster.get(job, f"sum[{k}].s") for k in range(4)], [b"%d\n" % s for s in SUMS])
        self.assertEqual(self.cluster.job(job)["recomputed"], 0)

    def test_replicas_survive_a_kill(self):
        job, _ = self.cluster.run_graph("""
taskd: 1
tasks:
- {name: a, over: {i: 0..9}, sh: 'echo $i', stdout: o, replicas: 2}
want: ["a[*].o"]
""")
        def copies(without=None):
            return sum(w["objects"] for name, w in self.cluster.worker_list().items() if name != without)
        until(lambda: copies() == 20, "two copies of each of ten results")
        self.cluster.kill("worker-1")
        until(lambda: copies(without="worker-1") == 20, "the lost copies to be made again")
        for i in range(10):
            self.assertEqual(self.cluster.get(job, f"a[{i}].o"), f"{i}\n".encode())
        self.assertEqual(self.cluster.job(job)["recomputed"], 0)


class BrokenStreamTest(OwnClusterTest):
    WORKERS = 1                                       # its own worker is drained: all runs behind the proxy

    def test_stream_comes_back(self):
        scheduler = self.cluster.scheduler_address()
        with Proxy(scheduler) as proxy, worker_behind(proxy, self.cluster, "far"):
            until(lambda: "far" in self.cluster.worker_list(), "the worker behind the proxy")
            self.cluster.ctl("worker", "drain", "worker-1")
            gates = [Gate(self.cluster) for _ in range(3)]
            job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: a, sh: '{gates[0].here("a")}; {gates[0].wait}; echo 1', stdout: o}}
- {{name: b, in: {{x: a.o}}, sh: '{gates[1].here("b")}; {gates[1].wait}; cat "$in_x"; echo 2', stdout: o}}
- {{name: c, in: {{x: b.o}}, sh: '{gates[2].here("c")}; {gates[2].wait}; cat "$in_x"; echo 3', stdout: o}}
want: [c.o]
""")
            first = gates[0].await_come(1)
            proxy.cut()                               # while a runs, and comes back while it runs
            proxy.await_connections(1)
            gates[0].open()
            gates[1].await_come(1)
            proxy.block()                             # b ends while nobody can be told
            gates[1].open()
            proxy.unblock()
            gates[2].await_come(1)
            for _ in range(5):
                proxy.cut()
                proxy.await_connections(1)
            gates[2].open()
            self.cluster.wait(job)
            self.assertEqual(self.cluster.get(job, "c.o"), b"1\n2\n3\n")
            self.assertEqual(gates[0].come(), first)  # a was not run twice
            info = self.cluster.job(job)
            self.assertEqual((info["recomputed"], info["retried"]), (0, 0))
            self.assertEqual(self.cluster.status()["workers_lost"], 0)


if __name__ == "__main__":
    unittest.main()
