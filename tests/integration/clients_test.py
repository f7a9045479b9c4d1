"""Whose a job is, how much of it runs at once, how long it lives, and what outlives a client that dies."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.request

from harness import TASKCTL, Gate, read_access, run, start_daemon, until
from proxy import Proxy

HEAD = "taskd: 1\ntasks:\n"
CPUS = 4


class Daemons(unittest.TestCase):
    """A scheduler with `FLAGS`, and one worker."""

    FLAGS = ()

    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.dir = self.files = self.top
        self.scheduler = self.start("taskd-scheduler", *self.FLAGS)
        self.start("taskd-worker", "--name", "w", "--cpus", CPUS, "--work-dir", self.top / "work")

    def start(self, program, *flags):
        return start_daemon(self.addCleanup, program, self.dir, self.top / f"{program}.ready", *flags)

    def ctl(self, *args, code=0):
        result = run([TASKCTL, "--dir", self.dir, *args])
        self.assertEqual(result.code, code, result)
        return result

    def json(self, *args):
        return json.loads(self.ctl("-o", "json", *args).text)

    def background(self, *args, folder=None):
        """taskctl as a child; killed at the end if it still runs."""
        child = subprocess.Popen([TASKCTL, "--dir", str(folder or self.dir), *map(str, args)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def stop():
            if child.poll() is None:
                child.kill()
            child.communicate()

        self.addCleanup(stop)
        return child

    def graph(self, text, name="graph.yaml"):
        path = self.top / name
        path.write_text(HEAD + text)
        return path

    def submit(self, text, *flags):
        return self.ctl("-q", "submit", *flags, self.graph(text)).text.split()[0]

    def job(self, job):
        return self.json("job", "show", job)

    def await_state(self, job, state):
        return until(lambda: (info := self.job(job))["state"] == state and info, f"job {job} is {state}")

    def metric(self, name):
        """Sum of the series of that name."""
        address = self.json("cluster", "status")["metrics_address"]
        request = urllib.request.Request(f"http://{address}/metrics")
        request.add_header("Authorization", f"Bearer {read_access(self.dir)['client_key']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            page = answer.read().decode()
        values = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.split("{")[0].split(" ")[0] == name]
        self.assertTrue(values, name)
        return sum(values)


class LeaseTest(Daemons):
    FLAGS = ("--client-lease", "1s")

    def ephemeral(self, gate):
        graph = self.graph(f"- {{name: t, sh: '{gate.here('t')}; {gate.wait}'}}\n")
        child = self.background("run", "--ephemeral", graph)
        gate.await_come(1)
        job = self.json("job", "list")["jobs"][-1]
        self.assertTrue(job["ephemeral"])
        self.assertIn("cancelled when the client that sent it has left", self.ctl("job", "show", "last").text)
        return child, job["job"]

    def test_ephemeral_job_ends_after_its_client_was_killed(self):
        child, job = self.ephemeral(Gate(self))
        child.kill()
        self.await_state(job, "cancelled")

    def test_ephemeral_job_ends_at_once_when_its_client_leaves(self):
        child, job = self.ephemeral(Gate(self))
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 130)
        self.assertIn(f"job {job} is ephemeral and is cancelled", said.decode())
        self.assertEqual(self.job(job)["state"], "cancelled")

    def test_ephemeral_job_that_ends_before_its_client_is_done(self):
        self.ctl("run", "--ephemeral", self.graph("- {name: t, sh: 'true'}\n"))
        self.assertEqual(self.json("job", "list")["jobs"][-1]["state"], "done")


class ReconnectTest(Daemons):
    FLAGS = ("--client-lease", "1h")

    def behind(self, proxy):
        """A folder whose access file names the proxy as the scheduler."""
        folder = self.top / "far"
        folder.mkdir(mode=0o700)
        access = read_access(self.dir)
        text = (self.dir / "access.yaml").read_text().replace(access["addresses"][0], proxy.address)
        with open(os.open(folder / "access.yaml", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        return folder

    def test_a_want_survives_a_broken_stream(self):
        """b reads a, and nobody else does: a is freed once b has it, unless the client that is cut off still wants it."""
        gate = Gate(self)
        job = self.submit(f"""
- {{name: a, sh: '{gate.here("a")}; {gate.wait}; echo 7', stdout: o}}
- {{name: b, in: {{x: a.o}}, sh: 'cat "$in_x"', stdout: o}}
""")
        gate.await_come(1)
        with Proxy(read_access(self.dir)["addresses"][0]) as proxy:
            child = self.background("object", "get", job, "a.o", folder=self.behind(proxy))
            until(lambda: self.metric("taskd_scheduler_client_wants") == 1, "the want")
            proxy.block()
            until(lambda: self.metric("taskd_scheduler_clients") == 0, "the stream to be broken")
            gate.open()
            self.ctl("job", "wait", job)
            self.assertTrue(self.json("task", "explain", job, "a")["task"]["state"] == "done")
            self.assertEqual(self.metric("taskd_scheduler_client_wants"), 1)
            proxy.unblock()
            out, said = child.communicate(timeout=60)
            self.assertEqual((child.returncode, out), (0, b"7\n"), said)
            self.assertEqual(self.job(job)["recomputed"], 0)
        # It has said goodbye: nobody wants it any more, an hour before its lease would be over.
        until(lambda: self.metric("taskd_scheduler_client_wants") == 0, "the want to be dropped")


class SharesTest(Daemons):
    def starts(self, name):
        return [line.split()[0] for line in (self.top / name).read_text().splitlines()] if (self.top / name).exists() else []

    def test_max_running(self):
        gate = Gate(self)
        job = self.submit(f"""
- name: t
  over: {{i: 0..7}}
  sh: |
    {gate.here("t$i")}
    {gate.wait}
""", "--max-running", 2)
        other = self.submit(f"- {{name: o, over: {{i: 0..1}}, sh: '{gate.here('o$i')}; {gate.wait}'}}\n")
        come = gate.await_come(4)                     # two of the limited one; the other slots are the other's
        self.assertEqual(sorted(name[0] for name in come), ["o", "o", "t", "t"])
        waiting = next(f"t[{i}]" for i in range(8) if f"t{i}" not in come)
        told = self.json("task", "explain", job, waiting)
        self.assertEqual(told["task"]["reason"], "job_limit")
        self.assertEqual(self.job(job)["max_running"], 2)
        self.assertIn("max running", self.ctl("job", "show", job).text)
        gate.open()
        self.ctl("job", "wait", job)
        self.ctl("job", "wait", other)

    def test_two_owners_share(self):
        """Of two owners with one and three jobs each gets half: tasks of the one alone are not outnumbered."""
        gate, order = Gate(self), self.top / "order"
        blocker = self.submit(f"- {{name: b, over: {{i: 1..{CPUS}}}, sh: '{gate.here('b$i')}; {gate.wait}'}}\n")
        gate.await_come(CPUS)
        tasks = "- {name: t, over: {i: 1..40}, expect: {time: 20ms}, sh: 'echo %s >> " + str(order) + "; sleep 0.02'}\n"
        jobs = [self.submit(tasks % "crowd", "--owner", "crowd") for _ in range(3)]
        jobs.append(self.submit(tasks % "alone", "--owner", "alone"))
        self.assertEqual(self.job(jobs[-1])["owner"], "alone")
        gate.open()
        for job in [blocker, *jobs]:
            self.ctl("job", "wait", job)
        first = order.read_text().split()[:60]        # while both still have tasks
        self.assertGreaterEqual(first.count("alone"), 20, first)
        self.assertLessEqual(first.count("alone"), 40, first)

    def test_bad_values(self):
        graph = self.graph("- {name: t, sh: 'true'}\n")
        for flags, words in [(["--weight", "0"], "--weight 0: give a whole number from 1 to 10000"),
                             (["--weight", "10001"], "from 1 to 10000"),
                             (["--weight", "-5"], "--weight -5: give a whole number"),
                             (["--weight", "1.5"], "--weight 1.5: give a whole number"),
                             (["--max-running", "0"], "--max-running 0: give a whole number from 1"),
                             (["--max-running", "99999999999"], "leave it out for no limit"),
                             (["--ttl", "5 parsecs"], "--ttl 5 parsecs: '5 parsecs' is not a duration; write it like"),
                             (["--ttl", "0"], "--ttl 0: give more than 0"),
                             (["--ttl", "-1h"], "is not a duration"),
                             (["--ttl", "100000d"], "--ttl 100000d: give more than 0, and at most 87600 h"),
                             (["--owner", "x" * 300], "300 bytes are too long, at most 256"),
                             (["--owner", b"\xff\xfe"], "not text in UTF-8"),
                             (["--name", "a\nb"], "--name a\\x0ab: not text in UTF-8 without control characters")]:
            with self.subTest(flags=flags):
                result = subprocess.run([TASKCTL, "--dir", self.dir, "submit", graph, *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
                self.assertEqual(result.returncode, 2, result)
                self.assertIn(words, result.stderr.decode())
        self.assertEqual(self.json("job", "list")["jobs"], [])

    def test_weight_is_shown(self):
        job = self.submit("- {name: t, sh: 'true'}\n", "--weight", 300, "--owner", "räksmörgås")
        self.ctl("job", "wait", job)
        info = self.job(job)
        self.assertEqual((info["weight"], info["owner"]), (300, "räksmörgås"))
        self.assertIn("weight", self.ctl("job", "show", job).text)


class ForgetTest(Daemons):
    def test_ttl_forgets_a_job_and_frees_its_tables(self):
        graph = self.graph("- {name: t, over: {i: 1..500}, builtin: {name: generate, size: 1KiB}, out: [o]}\n")
        self.ctl("run", "--ttl", "1s", "--name", "brief", "--owner", "me", graph)
        info = self.json("job", "list")["jobs"][-1]
        until(lambda: self.metric("taskd_scheduler_job_records") == 0, "the job's names to be dropped")
        self.assertEqual(self.metric("taskd_scheduler_tasks"), 0)
        self.assertEqual(self.metric("taskd_scheduler_jobs_forgotten_total"), 1)
        job = info["job"]
        left = self.job(job)
        self.assertTrue(left["forgotten"])
        self.assertEqual([left[key] for key in ("name", "owner", "state", "done", "ttl_ms")], ["brief", "me", "done", 500, 1000])
        for question in (["task", "list", job], ["task", "explain", job, "t[1]"], ["object", "get", job, "t[1].o"],
                         ["task", "logs", job, "t[1]"]):
            self.assertIn("was forgotten", self.ctl(*question, code=3).error)
        self.ctl("job", "wait", job)                  # it has ended
        until(lambda: next(iter(self.json("worker", "list")["workers"]))["objects"] == 0, "the worker's objects to be freed")

    def test_history_is_bounded_in_what_it_prints(self):
        graph = self.graph("- {name: t, sh: 'true'}\n")
        for i in range(5):
            self.ctl("run", "--name", f"j{i}", graph)
        self.ctl("job", "forget", "2")
        shown = self.json("job", "list", "--limit", 3)["jobs"]
        self.assertEqual([job["job"] for job in shown], [3, 4, 5])
        self.assertIn("the newest 3 jobs; --limit 0 shows all", self.ctl("job", "list", "--limit", 3).error)
        shown = self.json("job", "list", "--limit", 0)["jobs"]
        self.assertEqual([(job["job"], job["forgotten"]) for job in shown],
                         [(1, False), (2, True), (3, False), (4, False), (5, False)])
        self.assertEqual(self.json("job", "list", "--state", "failed")["jobs"], [])
        self.assertIn("done, forgotten", self.ctl("job", "list").text)
        self.ctl("run", "--owner", "else", graph)
        self.assertEqual([job["job"] for job in self.json("job", "list", "--owner", "else")["jobs"]], [6])
        self.assertEqual(self.ctl("-q", "job", "show", "last").text, "6\n")


class DatasetTest(Daemons):
    MAKE = "- {name: m, over: {i: 0..2}, out: {c: c}, sh: 'echo $i > c'}\nwant: ['m[*].c']\n"
    READ = "- {name: r, in: {all: {dataset: counts}}, sh: 'cat \"$in_all\"/*', stdout: o}\nwant: [r.o]\n"

    def test_another_job_reads_what_was_published(self):
        job = self.submit(self.MAKE)
        said = self.ctl("dataset", "publish", "counts", job, "m[*].c").text
        self.assertIn("3 objects of job 1", said)
        self.ctl("dataset", "publish", "counts", job, "m[*].c")  # the same again
        [dataset] = self.json("dataset", "list")["datasets"]
        self.assertEqual((dataset["name"], dataset["first"], dataset["last"]), ("counts", "m[0].c", "m[2].c"))
        self.await_state(job, "done")

        reader = self.submit(self.READ)
        self.await_state(reader, "done")
        self.assertEqual(self.ctl("object", "get", reader, "r.o").text.split(), ["0", "1", "2"])

        self.assertIn("dataset counts is of it", self.ctl("job", "forget", job, code=2).error)
        self.ctl("dataset", "drop", "counts")
        self.ctl("job", "forget", job)
        self.assertIn("there are no datasets", self.ctl("dataset", "list").error)

    def test_names_that_mean_nothing_or_something_else(self):
        job = self.submit(self.MAKE)
        for args, what in {
            ("publish", "x", job, "n.c"): "'n'",
            ("publish", "x", "7", "m[*].c"): "no job 7",
            ("drop", "x"): "there is no dataset x",
        }.items():
            self.assertIn(what, self.ctl("dataset", *args, code=3).error, args)
        self.ctl("dataset", "publish", "counts", job, "m[0].c")
        self.assertIn("drop it first", self.ctl("dataset", "publish", "counts", job, "m[1].c", code=2).error)
        self.ctl("dataset", "drop", "counts")
        self.assertIn("there is no dataset counts", self.ctl("submit", self.graph(self.READ), code=2).error)


if __name__ == "__main__":
    unittest.main()
