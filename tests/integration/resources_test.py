"""Pools, licences, placement and ends of workers, asked for in graph files and named by daemons' flags."""

import json
import os
import pathlib
import shutil
import tempfile
import unittest

from harness import BIN, TASKCTL, Gate, run, start_daemon, until

HEAD = "taskd: 1\ntasks:\n"


class ResourcesTest(unittest.TestCase):
    """A scheduler with one licence; `big` has a gpu and an ssd, `brief` ends soon."""

    @classmethod
    def setUpClass(cls):
        cls.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.files = cls.top
        cls.start("taskd-scheduler", "scheduler", "--pool", "pool.licence=1")
        cls.start("taskd-worker", "big", "--name", "big", "--cpus", 2, "--resource", "gpus=1", "--attribute", "ssd")
        cls.start("taskd-worker", "brief", "--name", "brief", "--cpus", 2, "--ends-after", "1h")

    @classmethod
    def start(cls, program, name, *flags):
        more = ["--work-dir", cls.top / f"work-{name}"] if program == "taskd-worker" else []
        start_daemon(cls.addClassCleanup, program, cls.top, cls.top / f"{name}.ready", *flags, *more)

    def ctl(self, *args, code=0):
        result = run([TASKCTL, "--dir", self.top, *args])
        self.assertEqual(result.code, code, result)
        return result

    def submit(self, text):
        path = self.top / "graph.yaml"
        path.write_text(HEAD + text)
        return self.ctl("-q", "submit", path).text.split()[0]

    def explain(self, job, task):
        return json.loads(self.ctl("-o", "json", "task", "explain", job, task).text)

    def await_reason(self, job, task, reason):
        return until(lambda: (e := self.explain(job, task)) and e["task"]["reason"] == reason and e, f"{task} waits for {reason}")

    def await_other(self, job, gate, reason):
        """One of t[0] and t[1] has come to the gate; why the other one waits."""
        gate.await_come(1)
        return self.await_reason(job, "t[1]" if "t0" in gate.come() else "t[0]", reason)

    def worker_of(self, job, task):
        return self.explain(job, task)["task"]["worker"]

    def test_gpu_else_cpus(self):
        job = self.submit("- {name: t, over: {i: 0..1}, sh: 'true', resources: [{gpus: 1}, {cpus: 2}]}\n")
        self.ctl("job", "wait", job)
        job = self.submit("- {name: t, sh: 'true', resources: {gpus: 1}}\n")
        self.ctl("job", "wait", job)
        self.assertEqual(self.worker_of(job, "t"), "big")

    def test_units_are_told(self):
        job = self.submit("- {name: t, sh: 'echo $CUDA_VISIBLE_DEVICES $TASKD_UNITS_gpus; ulimit -c', stdout: o, resources: {gpus: 1}}\n"
                          "want: [t.o]\n")
        self.ctl("job", "wait", job)
        self.assertEqual(self.ctl("object", "get", job, "t.o").out, b"0 0\n0\n")

    def test_licence_is_counted_once(self):
        gate = Gate(self)
        job = self.submit(f"""
- name: t
  over: {{i: 0..1}}
  sh: |
    {gate.here("t$i")}
    {gate.wait}
  resources: {{cpus: 0.1, pool.licence: 1}}
""")
        told = self.await_other(job, gate, "pool")
        self.assertIn("the cluster has 0 of pool.licence free and the task needs 1", json.dumps(told))
        gate.open()
        self.ctl("job", "wait", job)

    def test_results_wait_for_room(self):
        self.start("taskd-worker", "full", "--name", "full", "--cpus", 4, "--store", "100MiB")
        gate = Gate(self)
        job = self.submit(f"""
- name: t
  over: {{i: 0..1}}
  sh: |
    {gate.here("t$i")}
    {gate.wait}
    echo > "$out_o"
  out: {{o: o}}
  expect: {{bytes: 80MiB}}
  placement: {{workers: [full]}}
""")
        told = self.await_other(job, gate, "memory")
        self.assertIn("has 20.0 MiB of its store left", told["summary"])
        full = next(w for w in json.loads(self.ctl("-o", "json", "worker", "list").text)["workers"] if w["name"] == "full")
        self.assertEqual((int(full["store_budget_bytes"]), int(full["promised_bytes"])), (100 << 20, 80 << 20))
        gate.open()
        self.ctl("job", "wait", job)

    def test_too_much_memory(self):
        job = self.submit("""
- {name: t, sh: "awk 'BEGIN { s = \\"x\\"; while (1) if (length(s) < 1e8) s = s s }'", resources: {mem: 40MiB}, retry: 0}
""")
        self.ctl("job", "wait", job, code=1)
        told = self.explain(job, "t")
        self.assertIn("t used more memory than it may", told["summary"])
        self.assertRegex(json.dumps(told), r"used [0-9.]+ MiB of memory(, wanted more)? and was killed: it may use 40.0 MiB")

    def test_placement(self):
        job = self.submit("""
- {name: ssd, sh: 'true', placement: {attributes: [ssd]}}
- {name: named, sh: 'true', placement: {workers: [brief]}}
- {name: wish, sh: 'true', placement: {workers: [nowhere], rule: preferred}}
""")
        self.ctl("job", "wait", job)
        self.assertEqual(self.worker_of(job, "ssd"), "big")
        self.assertEqual(self.worker_of(job, "named"), "brief")

    def test_pin_to_nobody_fails(self):
        job = self.submit("- {name: pin, sh: 'true', placement: {workers: [nowhere], rule: fail_fast}}\n")
        self.ctl("job", "wait", job, code=1)
        self.assertIn("no worker is left that its placement rule names", self.ctl("task", "explain", job, "pin").text)

    def test_nearest_miss(self):
        job = self.submit("""
- {name: long, sh: 'true', needs_time: 2h, placement: {workers: [brief]}}
- {name: gpus, sh: 'true', resources: {gpus: 4}}
""")
        told = self.await_reason(job, "long", "unschedulable")
        self.assertIn("the task needs 2 h", told["summary"])
        told = self.await_reason(job, "gpus", "unschedulable")
        self.assertIn("has 1 of gpus, the task needs 4", json.dumps(told["workers"]))
        self.ctl("job", "cancel", job)

    def test_only_listed_ends_are_retried(self):
        count = self.top / "count"
        job = self.submit(f"""
- {{name: yes, sh: 'echo x >> {count}; exit 75', retry: {{times: 2, on: ["exit:75"]}}}}
- {{name: no, sh: 'echo x >> {count}; exit 1', retry: {{times: 2, on: ["exit:75", timeout]}}}}
""")
        self.ctl("job", "wait", job, code=1)
        self.assertEqual(len(count.read_text().split()), 3 + 1)

    def test_whole_cpus_are_pinned(self):
        """On as many cpus as this machine has, at the same time; functions move with each task."""
        usable = sorted(os.sched_getaffinity(0))
        self.start("taskd-worker", "pinned", "--name", "pinned", "--cpus", len(usable), "--pin")
        (self.top / "affinity.py").write_text("import os\n\n\ndef tell():\n    return ' '.join(map(str, sorted(os.sched_getaffinity(0)))).encode()\n")
        tell = "python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))'"
        gate = Gate(self)
        job = self.submit(f"""
- name: one
  over: {{i: 1..{len(usable)}}}
  sh: |
    {tell}
    {gate.here("one$i")}
    {gate.wait}
  stdout: o
  placement: {{workers: [pinned]}}
want: ["one[*].o"]
""")
        gate.await_come(len(usable))
        gate.open()
        self.ctl("job", "wait", job)
        told = [self.ctl("object", "get", job, f"one[{i + 1}].o").text.strip() for i in range(len(usable))]
        self.assertEqual(sorted(map(int, told)), usable)
        every = " ".join(map(str, usable))
        more = "stdout: o, placement: {workers: [pinned]}"
        for text, want in ((f"sh: \"{tell}\", resources: {{cpus: 0.5}}, {more}", every),
                           (f"sh: \"{tell}\", resources: {{cpus: {len(usable)}}}, {more}", every),
                           (f"sh: \"{tell}\", {more}", None)):
            job = self.submit(f"- {{name: t, {text}}}\nwant: [t.o]\n")
            self.ctl("job", "wait", job)
            told = self.ctl("object", "get", job, "t.o").text.strip()
            self.assertEqual(told, want) if want else self.assertIn(told, every.split())
        for cpus, count in ((1, 1), (0.5, len(usable)), (1, 1)):   # the same process
            job = self.submit(f"- {{name: f, python: {{call: 'affinity:tell', path: '{self.top}'}}, out: [o], "
                              f"resources: {{cpus: {cpus}}}, placement: {{workers: [pinned]}}}}\nwant: [f.o]\n")
            self.ctl("job", "wait", job)
            self.assertEqual(len(self.ctl("object", "get", job, "f.o").text.split()), count)

    def test_flags_that_are_wrong(self):
        for program, flags, words in (
                ("taskd-worker", ["--resource", "gpus"], "a name and an amount like gpus=2"),
                ("taskd-worker", ["--resource", "pool.x=1"], "the scheduler's --pool"),
                ("taskd-worker", ["--resource", "gpus=1", "--resource", "gpus=2"], "given twice"),
                ("taskd-worker", ["--cpus", "100000", "--pin"], "--pin: this process may use"),
                ("taskd-scheduler", ["--pool", "licence=1"], "the name is pool.NAME")):
            result = run([BIN / program, "--dir", self.top / "other", *flags])
            self.assertEqual(result.code, 2, result)
            self.assertIn(words, result.error)


if __name__ == "__main__":
    unittest.main()
