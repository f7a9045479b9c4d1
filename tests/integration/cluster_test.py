"""Starting and stopping: what `cluster start` makes, `cluster stop` takes away; daemons end cleanly by themselves."""

import json
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from harness import BIN, Cluster, ClusterTest, TASKCTL, alive, run, until


def processes_that_mention(text):
    """Pids of living processes with `text` in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes() and alive(int(path.parent.name)):
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


class LifecycleTest(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.dir = self.top / "state"
        self.addCleanup(run, [TASKCTL, "--dir", self.dir, "cluster", "stop"])     # whatever a test left

    def ctl(self, *args, code=0):
        result = run([TASKCTL, "--dir", self.dir, *args])
        self.assertEqual(result.code, code, result)
        return result

    def test_stop_leaves_no_process_and_no_file(self):
        self.ctl("cluster", "start", "--workers", "2", "--cpus", "1")
        self.assertGreaterEqual(len(processes_that_mention(str(self.dir))), 3)
        graph = self.top / "graph.yaml"
        mark = self.top / "pid"
        graph.write_text(f"taskd: 1\ntasks:\n- {{name: a, sh: 'echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 1000', stdout: o}}\n")
        self.ctl("submit", graph)
        until(mark.exists, "the task to run")
        self.ctl("cluster", "stop")
        self.assertEqual(processes_that_mention(str(self.dir)), [])
        self.assertFalse(alive(int(mark.read_text())), "a task outlived the cluster")
        self.assertEqual(sorted(path.name for path in self.top.iterdir()), ["graph.yaml", "pid"])
        self.ctl("cluster", "stop")                   # again: nothing to do, no error

    def test_stop_after_everything_was_killed(self):
        self.ctl("cluster", "start", "--workers", "2", "--cpus", "1")
        pids = processes_that_mention(str(self.dir))
        for pid in pids:
            subprocess.run(["kill", "-9", str(pid)], check=True)
        until(lambda: not any(alive(pid) for pid in pids), "the daemons to be gone")
        result = self.ctl("cluster", "status", code=4)
        self.assertIn("cluster stop", result.error)
        self.ctl("cluster", "stop")
        self.assertFalse(self.dir.exists())

    def test_second_start_is_refused(self):
        self.ctl("cluster", "start", "--workers", "1", "--cpus", "1")
        result = run([TASKCTL, "--dir", self.dir, "cluster", "start"])
        self.assertNotEqual(result.code, 0, result)
        self.assertIn(str(self.dir), result.error)
        self.assertEqual(self.ctl("-o", "json", "cluster", "status").json["workers_up"], 1)

    def test_workers_get_what_was_said_of_them(self):
        self.ctl("cluster", "start", "--workers", "1", "--cpus", "1", "--pin", "--log-disk", "1MiB")
        pid = json.loads((self.dir / "local" / "worker-1.ready").read_text())["pid"]
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        self.assertEqual(words[words.index("--log-disk"):][:3], ["--log-disk", str(1 << 20), "--pin"])

    def test_only_the_owner_gets_in(self):
        self.ctl("cluster", "start", "--workers", "1", "--cpus", "1")
        self.assertEqual(stat.S_IMODE(self.dir.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((self.dir / "access.yaml").stat().st_mode), 0o600)
        for path in self.dir.rglob("*"):
            self.assertEqual(stat.S_IMODE(path.lstat().st_mode) & 0o077, 0, path)

    def test_failed_start_leaves_nothing(self):
        result = run([TASKCTL, "--dir", self.dir, "cluster", "start", "--workers", "1", "--timeout", "1ms"])
        self.assertEqual(result.code, 5, result)
        self.assertFalse(self.dir.exists())
        self.assertEqual(processes_that_mention(str(self.dir)), [])

    def test_daemons_end_on_signals(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            for program in ("taskd-scheduler", "taskd-worker"):
                with self.subTest(program, signal=how):
                    ready = self.top / "ready"
                    ready.unlink(missing_ok=True)
                    scheduler_dir = self.top / "lone"
                    with subprocess.Popen([BIN / "taskd-scheduler", "--dir", scheduler_dir, "--ready-file", ready],
                                          stderr=subprocess.DEVNULL) as scheduler:
                        until(ready.exists, "the scheduler")
                        child = scheduler
                        if program == "taskd-worker":
                            ready.unlink()
                            child = subprocess.Popen([BIN / program, "--dir", scheduler_dir, "--ready-file", ready, "--work-dir",
                                                      self.top / "work", "--name", "w"], stderr=subprocess.DEVNULL)
                            until(ready.exists, "the worker")
                        self.assertEqual(json.loads(ready.read_text())["pid"], child.pid)
                        child.send_signal(how)
                        self.assertEqual(child.wait(30), 0)
                        if child is not scheduler:
                            scheduler.terminate()
                            self.assertEqual(scheduler.wait(30), 0)
                    shutil.rmtree(scheduler_dir, ignore_errors=True)


class GoodbyeTest(ClusterTest):
    """A worker that is told to end says goodbye: its work goes elsewhere at once, and it does not count as lost."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=2, cpus=1)
        cls.addClassCleanup(cls.cluster.stop)

    def test_sigterm(self):
        job, _ = self.cluster.run_graph("taskd: 1\ntasks:\n- {name: a, over: {i: 0..5}, sh: 'echo $i', stdout: o}\nwant: ['a[*].o']\n")
        pid = self.cluster.pids()["worker-1"]
        self.cluster.kill("worker-1", signal.SIGTERM)
        until(lambda: not alive(pid), "worker-1 to end")
        self.assertEqual([self.cluster.get(job, f"a[{i}].o") for i in range(6)], [b"%d\n" % i for i in range(6)])
        self.assertEqual(self.cluster.status()["workers_up"], 1)


if __name__ == "__main__":
    unittest.main()
