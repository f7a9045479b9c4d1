"""Jobs on a real cluster: results, retries, limits, cancel, several at once, detaching."""

import signal
import unittest

from graphs import SHUFFLE, TOTAL
from harness import ClusterTest, Gate, alive, until


class JobsTest(ClusterTest):
    def test_objects_are_listed_and_saved_together(self):
        job, _ = self.cluster.run_graph("""
taskd: 1
tasks:
- {name: a, over: {i: 0..2}, sh: 'printf a$i > o; head -c $((i * 100000)) /dev/zero >> o', out: {o: o}}
- {name: b, sh: 'printf b > o', out: {o: o}}
- {name: c, in: {x: b.o}, sh: 'cat "$in_x" > o', out: {o: o}}
want: ["a[*].o", c.o]
""")
        listed = self.cluster.json("object", "list", job)["objects"]
        self.assertEqual([o["name"] for o in listed], ["a[0].o", "a[1].o", "a[2].o", "b.o", "c.o"])
        self.assertEqual([(o["available"], int(o["size_bytes"])) for o in listed[:3]], [(True, 2), (True, 100002), (True, 200002)])
        self.assertTrue(all(o["workers"] for o in listed[:3]))
        self.assertEqual(self.cluster.ctl("-q", "object", "list", job, "a[1..2].o").text.split(), ["a[1].o", "a[2].o"])
        self.assertIn("the first 2 objects", self.cluster.ctl("object", "list", job, "-n", 2).error)
        self.assertIn("freed", self.cluster.ctl("object", "list", job, "b.o").text)
        folder = self.cluster.files / "saved"
        self.cluster.ctl("object", "get", job, "a[*].o", "-O", f"{folder}/")
        self.assertEqual({f.name: f.stat().st_size for f in folder.iterdir()}, {"a[0].o": 2, "a[1].o": 100002, "a[2].o": 200002})
        self.cluster.ctl("object", "get", job, "c.o", "-O", folder)      # a folder that is there
        self.assertEqual((folder / "c.o").read_bytes(), b"b")
        self.assert_says(self.cluster.ctl("object", "get", job, "a[*].o", "-p", 0, "-O", folder, code=2), "--part is of one object")
        self.assert_says(self.cluster.ctl("object", "list", job, "nowhere.o", code=3), "nowhere")
        self.assert_says(self.cluster.ctl("object", "list", 4_000_000, code=3), "no job 4000000")

    def test_log_is_followed(self):
        gate = Gate(self.cluster)
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- name: t
  sh: |
    echo first
    echo warned >&2
    {gate.here("t")}
    {gate.wait}
    echo last
""")
        follower = self.cluster.background("task", "logs", "-f", job, "t")
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.stderr.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        self.assertEqual(follower.stdout.readline(), b"first\n")     # while it runs
        gate.await_come(1)
        gate.open()
        self.assertEqual(follower.stdout.read(), b"last\n")
        self.assertEqual(follower.wait(30), 0)
        self.assertIn(b"warned\n", follower.stderr.read())

    def test_every_worker_takes_part(self):
        gate = Gate(self.cluster)
        before = {name: worker["tasks_finished"] for name, worker in self.cluster.worker_list().items()}
        # Six tasks that all wait for each other need all six cpus.
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- name: meet
  over: {{i: 0..5}}
  sh: |
    {gate.here("meet$i")}
    {gate.wait}
    echo $i
  stdout: o
want: ["meet[*].o"]
""")
        gate.await_come(6)
        gate.open()
        self.cluster.wait(job)
        self.assertEqual([self.cluster.get(job, f"meet[{i}].o") for i in range(6)], [b"%d\n" % i for i in range(6)])
        for name, worker in self.cluster.worker_list().items():
            self.assertEqual(worker["tasks_finished"] - before[name], 2, name)

    def test_results_parts_and_ranges(self):
        job, result = self.cluster.run_graph(SHUFFLE % ":")
        self.assert_says(result, "17")                                     # 12 + 4 + 1 tasks
        self.assertEqual(self.cluster.get(job, "total.n"), b"%d\n" % TOTAL)
        self.assertEqual(self.cluster.get(job, "sum[2].s"), b"%d\n" % sum(i * i + 2 for i in range(12)))
        self.assertEqual(self.cluster.get(job, "cut[3].p"), b"9\n10\n11\n12\n")
        self.assertEqual(self.cluster.get(job, "cut[3].p[2]"), b"11\n")
        self.assertEqual(self.cluster.get(job, "cut[3].p", "--range", "2-4"), b"10\n")
        self.assertEqual(self.cluster.get(job, "cut[3].p", "--range", "8-"), b"12\n")
        info = self.cluster.job(job)
        self.assertEqual((info["state"], info["done"], info["total"]), ("done", 17, 17))

    def test_get_writes_a_file(self):
        job, _ = self.cluster.run_graph('taskd: 1\ntasks:\n- {name: a, sh: "printf hello", stdout: o}\nwant: [a.o]\n')
        target = self.cluster.files / "fetched"
        self.cluster.get(job, "a.o", "-O", target)
        self.assertEqual(target.read_bytes(), b"hello")

    def test_two_jobs_at_once(self):
        gates = [Gate(self.cluster), Gate(self.cluster)]
        jobs = [self.cluster.submit(f"""
taskd: 1
tasks:
- name: a
  sh: |
    {gate.here("a")}
    {gate.wait}
    echo {number}
  stdout: o
- {{name: b, in: {{x: a.o}}, sh: 'cat "$in_x" "$in_x"', stdout: o}}
want: [b.o]
""") for number, gate in enumerate(gates)]
        for gate in gates:
            gate.await_come(1)
        self.assertEqual([self.cluster.job(job)["running"] for job in jobs], [1, 1])
        gates[1].open()                                                    # the later one ends first
        self.cluster.wait(jobs[1])
        self.assertEqual(self.cluster.job(jobs[0])["running"], 1)
        gates[0].open()
        self.cluster.wait(jobs[0])
        self.assertEqual([self.cluster.get(job, "b.o") for job in jobs], [b"0\n0\n", b"1\n1\n"])

    def test_retries_until_it_works(self):
        tries = self.cluster.files / "tries"
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- name: shaky
  retry: {{times: 3, backoff: 10ms}}
  sh: |
    echo try >> "{tries}"
    [ $(wc -l < "{tries}") -ge 3 ] || exit 75
    echo made it
  stdout: o
want: [shaky.o]
""")
        self.assertEqual(self.cluster.get(job, "shaky.o"), b"made it\n")
        self.assertEqual(self.cluster.job(job)["retried"], 2)
        self.assertEqual(tries.read_text(), "try\n" * 3)

    def test_failure_names_the_culprit(self):
        job, result = self.cluster.run_graph("""
taskd: 1
tasks:
- {name: bad, retry: {times: 1, backoff: 1ms}, sh: 'echo the disk is melting >&2; exit 3', stdout: o}
- {name: next, in: {x: bad.o}, sh: 'cat "$in_x"', stdout: o}
- {name: good, sh: 'echo fine', stdout: o}
want: [next.o, good.o]
""", code=1)
        self.assert_says(result, "bad", "the disk is melting", "3")
        info = self.cluster.job(job)
        self.assertEqual((info["state"], info["failed"], info["done"], info["retried"]), ("failed", 2, 1, 1))
        tasks = {task["key"]: task for task in self.cluster.json("task", "list", job)["tasks"]}
        self.assertEqual(tasks["next"]["failure"], "input_failed")
        self.assertEqual(tasks["next"]["culprit_key"], "bad")
        self.assert_says(self.cluster.ctl("task", "explain", job, "next"), "bad")
        self.assert_says(self.cluster.ctl("task", "logs", job, "bad"), "the disk is melting")
        self.cluster.wait(job, code=1)
        self.assertEqual(self.cluster.get(job, "good.o"), b"fine\n")        # what worked is kept

    def test_time_limit(self):
        gate = Gate(self.cluster)
        job, result = self.cluster.run_graph(f"""
taskd: 1
tasks:
- name: slow
  time_limit: 300ms
  sh: |
    {gate.here("slow")}
    sleep 1000
  stdout: o
want: [slow.o]
""", code=1)
        self.assert_says(result, "slow", ("time limit", "timeout"))
        self.assertEqual(self.cluster.job(job)["failures"][0]["failure"], "timeout")
        pid = gate.come()["slow"]
        until(lambda: not alive(pid), "the task's shell to end")

    def test_cancel(self):
        gate = Gate(self.cluster)
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- name: block
  over: {{i: 0..9}}
  sh: |
    {gate.here("block$i")}
    {gate.wait}
  stdout: o
- {{name: after, in: {{x: "block[*].o"}}, sh: 'cat "$in_x"/*', stdout: o}}
want: [after.o]
""")
        gate.await_come(6)
        self.cluster.ctl("job", "cancel", job)
        self.cluster.wait(job, code=6)
        info = self.cluster.job(job)
        self.assertEqual((info["state"], info["cancelled"], info["active"]), ("cancelled", 11, 0))
        until(lambda: not any(alive(pid) for pid in gate.come().values()), "the tasks' shells to end")
        self.assertEqual(len(gate.come()), 6)                               # nothing new was started
        self.cluster.ctl("job", "cancel", job)                              # again: no error

    def test_cancel_of_tasks_then_retry_then_forget(self):
        gate = Gate(self.cluster)
        self.addCleanup(gate.open)
        broken = self.cluster.files / "broken"
        broken.touch()
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- name: block
  over: {{i: 0..3}}
  sh: |
    {gate.here("block$i")}
    {gate.wait}
    echo $i
  stdout: o
- {{name: bad, sh: 'test ! -e {broken} && echo mended', stdout: o}}
- {{name: next, in: {{x: bad.o}}, sh: 'cat "$in_x"', stdout: o}}
- {{name: after, in: {{x: "block[*].o"}}, sh: 'cat "$in_x"/*', stdout: o}}
want: [after.o, next.o]
""")
        gate.await_come(4)
        self.assert_says(self.cluster.ctl("job", "forget", job, code=2), "cancel it first")
        self.cluster.ctl("task", "cancel", job, "block[2]")
        until(lambda: not alive(gate.come()["block2"]), "the cancelled task's shell to end")
        gate.open()
        self.cluster.wait(job, code=1)
        info = self.cluster.job(job)
        self.assertEqual((info["done"], info["failed"], info["cancelled"]), (3, 2, 2))
        tasks = {task["key"]: task for task in self.cluster.json("task", "list", job)["tasks"]}
        self.assertEqual((tasks["after"]["state"], tasks["after"]["culprit_key"]), ("cancelled", "block[2]"))

        broken.unlink()
        self.cluster.ctl("job", "retry", job, "--cancelled")
        self.cluster.wait(job)
        self.assertEqual(self.cluster.get(job, "after.o"), b"0\n1\n2\n3\n")
        self.assertEqual(self.cluster.get(job, "next.o"), b"mended\n")

        self.cluster.ctl("job", "forget", job)
        until(lambda: self.cluster.job(job).get("forgotten"), "the job to be forgotten")
        self.assertEqual(self.cluster.job(job)["done"], 7)
        self.assert_says(self.cluster.ctl("job", "retry", job, code=2), "forgotten")
        self.cluster.ctl("job", "forget", job)                              # again: no error

    def test_interrupt_detaches(self):
        gate = Gate(self.cluster)
        path = self.cluster.graph(f"""
taskd: 1
tasks:
- name: a
  sh: |
    {gate.here("a")}
    {gate.wait}
    echo still here
  stdout: o
want: [a.o]
""")
        child = self.cluster.background("run", path)
        gate.await_come(1)
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=30)
        job = self.cluster.last_job()
        self.assertEqual(child.returncode, 130, error)
        self.assertIn(f"job wait {job}", error.decode())
        self.assertEqual(self.cluster.job(job)["state"], "running")
        gate.open()
        self.cluster.wait(job)
        self.assertEqual(self.cluster.get(job, "a.o"), b"still here\n")

    def test_wait_times_out(self):
        gate = Gate(self.cluster)
        job = self.cluster.submit(f'taskd: 1\ntasks:\n- name: a\n  sh: |\n    {gate.wait}\n  stdout: o\nwant: [a.o]\n')
        self.cluster.ctl("job", "wait", job, "--timeout", "200ms", code=5)
        gate.open()
        self.cluster.wait(job)

    def test_values_reach_the_body(self):
        files = self.cluster.files
        (files / "data").mkdir()
        for name in ("one", "two three", "it's"):
            (files / "data" / name).write_text(name + "\n")
        (files / "rows").write_text("x y\nz\n")
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{greeting: "hi there"}}
tasks:
- {{name: v, sh: 'printf "%s|" "$greeting" "{{braces}}"', stdout: o}}
- {{name: list, over: {{a: [0.10, b c]}}, sh: 'printf "%s|" "$a"', stdout: o}}
- {{name: rows, over: {{r: {{lines: "{files}/rows"}}}}, argv: [printf, "%s|", "{{r}}"], stdout: o}}
- {{name: path, in: {{f: {{path: "{files}/rows"}}}}, sh: 'cat "$in_f"', stdout: o}}
- {{name: files, over: {{m: {{glob: "{files}/data/*", into: 2, by: bytes}}}}, sh: 'cat "$m_list"', stdout: o}}
- {{name: all, in: {{l: "list[*].o", r: "rows[*].o"}}, sh: 'cat "$in_l"/* "$in_r"/*', stdout: o}}
want: [v.o, path.o, "files[*].o", all.o]
""")
        self.assertEqual(self.cluster.get(job, "v.o"), b"hi there|{braces}|")
        self.assertEqual(self.cluster.get(job, "path.o"), b"x y\nz\n")
        self.assertEqual(self.cluster.get(job, "all.o"), b"0.10|b c|x y|z|")
        listed = (self.cluster.get(job, "files[0].o") + self.cluster.get(job, "files[1].o")).decode().splitlines()
        self.assertEqual(sorted(listed), sorted(str(path) for path in (files / "data").iterdir()))


if __name__ == "__main__":
    unittest.main()
