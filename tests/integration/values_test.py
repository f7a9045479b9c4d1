"""Small results ride in messages: who reads them on another worker asks nobody, and what is not small is fetched."""

import re
import unittest
import urllib.request

from harness import Cluster, ClusterTest, read_access

LIMIT = 512


class ValuesTest(ClusterTest):
    WORKERS = 2
    CPUS = 1

    def metric(self, worker, name):
        address = self.cluster.worker_list()[worker]["metrics_address"]
        request = urllib.request.Request(f"http://{address}/metrics")
        request.add_header("Authorization", f"Bearer {read_access(self.cluster.dir)['client_key']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            page = answer.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        self.assertIsNotNone(found, f"{name} in\n{page}")
        return int(float(found[1]))

    def counts(self):
        """Fetches and values taken of both workers, so far."""
        return [sum(self.metric(f"worker-{i}", name) for i in (1, 2))
                for name in ('taskd_worker_fetch_items_total{status="ok"}', "taskd_worker_values_total")]

    def run_and_count(self, text):
        """Runs the graph; (job, fetches, values taken) of it."""
        before = self.counts()
        job, _ = self.cluster.run_graph(text)
        return (job, *(now - then for now, then in zip(self.counts(), before)))

    def pair(self, size):
        """A result of so many bytes, made on one worker and read on the other."""
        return self.run_and_count(f"""
taskd: 1
tasks:
- {{name: make, sh: 'head -c {size} /dev/zero | tr "\\0" x > "$out_v"', out: {{v: v}}, placement: {{workers: [worker-1]}}}}
- {{name: read, in: {{x: make.v}}, sh: 'cat "$in_x"; echo', stdout: s, placement: {{workers: [worker-2]}}}}
want: [read.s]
""")

    def test_a_chain_across_two_workers_fetches_nothing(self):
        steps = 20
        tasks = ["- {name: t0, sh: 'echo 0', stdout: v, placement: {workers: [worker-1]}}"]
        tasks += [f"- {{name: t{i}, in: {{x: t{i - 1}.v}}, sh: 'echo $(($(cat \"$in_x\") + 1))', stdout: v, "
                  f"placement: {{workers: [worker-{1 + i % 2}]}}}}" for i in range(1, steps + 1)]
        job, fetches, values = self.run_and_count("\n".join(["taskd: 1", "tasks:", *tasks, f"want: [t{steps}.v]"]))
        self.assertEqual(self.cluster.get(job, f"t{steps}.v"), f"{steps}\n".encode())
        self.assertEqual((fetches, values), (0, steps))

    def test_up_to_the_limit(self):
        job, fetches, values = self.pair(LIMIT)
        self.assertEqual((fetches, values), (0, 1))
        self.assertEqual(self.cluster.get(job, "read.s"), b"x" * LIMIT + b"\n")
        job, fetches, values = self.pair(LIMIT + 1)
        self.assertEqual((fetches, values), (1, 0))
        self.assertEqual(self.cluster.get(job, "read.s"), b"x" * (LIMIT + 1) + b"\n")

    def test_many_readers_of_one_value_get_it_once(self):
        job, fetches, values = self.run_and_count("""
taskd: 1
tasks:
- {name: make, sh: 'echo seed', stdout: v, placement: {workers: [worker-1]}}
- {name: read, over: {i: 0..9}, in: {x: make.v}, sh: 'cat "$in_x"', stdout: s, placement: {workers: [worker-2]}}
want: ["read[*].s"]
""")
        self.assertEqual((fetches, values), (0, 1))
        for i in range(10):
            self.assertEqual(self.cluster.get(job, f"read[{i}].s"), b"seed\n")

    def test_a_lost_value_is_made_again(self):
        """The scheduler's copy is nobody's replica: what its last holder took along is made anew."""
        cluster = Cluster(2, 1)
        self.addCleanup(cluster.stop)
        mark = cluster.files / "made"
        job, _ = cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: make, sh: 'echo once >> {mark}; wc -l < {mark}', stdout: v}}
want: [make.v]
""")
        self.assertEqual(cluster.get(job, "make.v"), b"1\n")
        cluster.ctl("dataset", "publish", "once", job, "make.v")
        [holder] = cluster.json("object", "list", job)["objects"][0]["workers"]
        [other] = {"worker-1", "worker-2"} - {holder}
        cluster.kill(holder)
        job, _ = cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: read, in: {{x: {{dataset: once}}}}, sh: 'cat "$in_x"/* 2>/dev/null || cat "$in_x"', stdout: s,
    placement: {{workers: [{other}]}}}}
want: [read.s]
""")
        self.assertEqual(cluster.get(job, "read.s"), b"2\n")


if __name__ == "__main__":
    unittest.main()
