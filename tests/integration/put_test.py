"""`object put`: bytes that a client brings, the graphs that read them, and what is left of them when their worker is gone."""

import hashlib
import os
import signal
import unittest

from harness import TASKCTL, ClusterTest, run, until

READER = """
taskd: 1
vars: {ref: ''}
tasks:
- {name: r, in: {x: {object: '{ref}'}}, sh: 'wc -c < "$in_x" > n', out: {n: n}}
want: [r.n]
"""


class PutTest(ClusterTest):
    WORKERS = 2
    CPUS = 1

    def file(self, name, content):
        path = self.cluster.files / name
        path.write_bytes(content)
        return path

    def put(self, *args):
        return self.cluster.json("object", "put", *args)["objects"]

    def test_a_graph_reads_what_was_put(self):
        content = os.urandom(3_000_001)
        [put] = self.put(self.file("some-data.bin", content), "--worker", "worker-2")
        self.assertEqual((put["name"], put["size_bytes"], put["workers"]), ("put[some_data_bin].v", len(content), ["worker-2"]))
        job, ordinal = put["object"]["job"], put["object"].get("ordinal", 0)
        got = self.cluster.get(job, put["name"])
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(content).digest())
        reader = self.file("reader.yaml", READER.encode())
        self.cluster.ctl("run", reader, "-D", f"ref={job}:{ordinal}")
        self.assertEqual(self.cluster.get("last", "r.n"), b"3000001\n")

    def test_several_as_a_dataset(self):
        files = [self.file(f"f{i}", b"x" * i) for i in range(4)]
        puts = self.put(*files, "--dataset", "four", "--name", "mine")
        self.assertEqual([p["size_bytes"] for p in puts], [0, 1, 2, 3])
        self.assertEqual(self.cluster.job(puts[0]["object"]["job"])["name"], "mine")
        self.cluster.run_graph("taskd: 1\ntasks:\n- {name: c, in: {x: {dataset: four}}, sh: 'cat \"$in_x\"/* | wc -c > n', out: {n: n}}\nwant: [c.n]\n")
        self.assertEqual(self.cluster.get("last", "c.n"), b"6\n")

    def test_standard_input_and_quiet_output(self):
        result = run(["sh", "-c", f"printf hello | '{TASKCTL}' --dir '{self.cluster.dir}' object put -q word=-"])
        self.assertEqual(result.code, 0, result)
        job, ordinal = result.text.strip().split(":")
        self.assertEqual((self.cluster.get(job, "put[word].v"), ordinal), (b"hello", "0"))

    def test_a_worker_without_a_free_cpu_takes_it_all_the_same(self):
        job = self.cluster.submit("taskd: 1\ntasks:\n- {name: s, over: {i: 1..4}, builtin: {name: sleep, duration: 1h}, out: [v]}\n")
        until(lambda: all(w["running"] == 1 for w in self.cluster.worker_list().values()), "both workers are busy")
        [put] = self.put(self.file("busy", b"1"), "--worker", "worker-1")
        self.assertEqual(put["workers"], ["worker-1"])
        self.cluster.ctl("job", "cancel", job)

    def test_mistakes_are_told(self):
        a = self.file("a", b"1")
        other = self.cluster.files / "other"
        other.mkdir()
        (other / "a").write_bytes(b"2")
        for args, code, text in (
                (["nothing-there"], 2, "No such file"),
                ([self.cluster.files], 2, "is a folder"),
                ([a, other / "a"], 2, "two files would be named 'a'"),
                ([a, "--worker", "w9"], 3, "no worker 'w9' is up"),
                ([a, "--ttl", "soon"], 2, "ttl"),
                ([], 2, "FILE")):
            with self.subTest(args):
                result = self.cluster.ctl_any("object", "put", *args)
                self.assertIn(text, result.error)
                self.assertEqual(result.code, code)
        for ref, text in (("7", "is no object"), ("0:1", "is no object"), ("1:x", "is no object"), ("4000000:0", "no job 4000000")):
            with self.subTest(ref):
                reader = self.file("reader.yaml", READER.encode())
                result = self.cluster.ctl_any("run", reader, "-D", f"ref={ref}")
                self.assertIn(text, result.error)
                self.assertNotEqual(result.code, 0)


class LostPutTest(ClusterTest):
    WORKERS = 2
    CPUS = 1

    def test_it_is_lost_with_its_last_copy(self):
        path = self.cluster.files / "data"
        path.write_bytes(b"x" * 100_000)
        refs = [self.cluster.ctl("object", "put", "-q", f"{name}={path}", "--worker", "worker-1").text.strip() for name in ("kept", "lost")]
        reader = self.cluster.files / "reader.yaml"
        reader.write_text(READER.replace("sh:", "placement: {workers: [worker-2]}, sh:"))
        self.cluster.ctl("run", reader, "-D", f"ref={refs[0]}")      # now w2 has a copy, too
        self.cluster.kill("worker-1", signal.SIGTERM)                # it says goodbye: what it has is lost at once
        self.cluster.ctl("run", reader, "-D", f"ref={refs[0]}")
        self.cluster.ctl("run", reader, "-D", f"ref={refs[1]}", code=1)
        lost = self.cluster.json("task", "explain", refs[1].split(":")[0], "put[lost]")
        self.assertIn("put it again", lost["failure"]["message"])


if __name__ == "__main__":
    unittest.main()
