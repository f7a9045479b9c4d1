"""Memory limits that the kernel keeps, where cgroup v2 is delegated to the workers; elsewhere all of this is skipped."""

import json
import pathlib
import re
import signal
import unittest

from harness import Cluster, ClusterTest, alive, start_daemon, until

TAKE = "awk 'BEGIN {{ s = \"x\"; for (i = 0; i < {}; ++i) s = s s; print length(s) }}'"      # two to so many bytes
SLOW_S = 300                                                   # in a virtual machine everything takes long


def cgroup_of(log):
    """The cgroup that a worker has made for itself, from its log; skips the test if it has none."""
    text = pathlib.Path(log).read_text()
    made = re.search(r"memory limits of commands are kept by cgroups below (\S+)", text)
    if made is None:
        why = re.search(r"memory limits of commands are kept by watching them: (.*)", text)
        raise unittest.SkipTest(f"skipped: no delegated cgroup v2: {why.group(1)}")
    return pathlib.Path(made.group(1))


class CgroupsTest(ClusterTest):
    WORKERS = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cgroups = {name: cgroup_of(cls.cluster.dir / "local" / f"{name}.log") for name in ("worker-1", "worker-2")}

    def test_who_wants_too_much_is_named(self):
        eager, modest = (json.dumps(TAKE.format(n)) for n in (26, 20))
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: eager, sh: {eager}, resources: {{mem: 40MiB}}, retry: 0}}
- {{name: modest, sh: {modest}, resources: {{mem: 40MiB}}}}
""")
        self.cluster.wait(job, code=1, timeout_s=SLOW_S)
        self.assert_says(self.cluster.ctl("task", "explain", job, "eager"), "eager used more memory than it may", "wanted more",
                         "it may use 40.0 MiB")
        self.assertEqual(self.cluster.json("task", "explain", job, "modest")["task"]["state"], "done")
        for cgroup in self.cgroups.values():
            self.assertEqual([path.name for path in (cgroup / "tasks").iterdir() if path.is_dir()], [])

    def test_a_killed_worker_leaves_nobody_and_the_next_one_clears_up(self):
        cluster = Cluster(workers=1)
        self.addCleanup(cluster.stop)
        cgroup = cgroup_of(cluster.dir / "local" / "worker-1.log")
        mark = cluster.files / "pid"
        cluster.submit(f"""
taskd: 1
tasks:
- {{name: leaves, sh: 'setsid sh -c "echo \\$\\$ > {mark}.new; mv {mark}.new {mark}; exec sleep 1000" & wait', resources: {{mem: 50MiB}}}}
""")
        until(mark.exists, "the task to run")
        pid = int(mark.read_text())
        self.assertIn("memory", (cgroup / "cgroup.controllers").read_text().split())
        cluster.kill("worker-1", signal.SIGKILL)
        until(lambda: not alive(pid), "the process that left its group to end")
        self.assertTrue(cgroup.exists())
        until(lambda: not (cgroup / "daemon/cgroup.procs").read_text(), "the guardian to end")
        start_daemon(self.addCleanup, "taskd-worker", cluster.dir, cluster.files / "ready", "--work-dir", cluster.files / "work",
                     "--log-level", "error")
        self.assertFalse(cgroup.exists(), "left by the one that was killed")
        for other in self.cgroups.values():
            self.assertTrue((other / "daemon/cgroup.procs").read_text(), "of a worker that lives")

    def test_a_clean_stop_leaves_no_cgroup(self):
        cluster = Cluster(workers=1)
        try:
            cgroup = cgroup_of(cluster.dir / "local" / "worker-1.log")
            job = cluster.submit("taskd: 1\ntasks:\n- {name: a, sh: 'true', resources: {mem: 50MiB}}\n")
            cluster.wait(job, timeout_s=SLOW_S)
        finally:
            cluster.stop()
        self.assertFalse(cgroup.exists())


if __name__ == "__main__":
    unittest.main()
