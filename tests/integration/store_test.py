"""Results in memory and on disk: budgets, spilling, full disks, damage, leftovers."""

import os
import pathlib
import re
import shutil
import signal
import tempfile
import unittest
import urllib.request
import zlib

from harness import TASKCTL, read_access, run, start_daemon, until

MIB = 1 << 20
SHARED = pathlib.Path("/dev/shm")


def graph(count, worker, want=True):
    """`count` objects of 1 MiB, a checksum of each, and all checksums together."""
    return f"""
taskd: 1
tasks:
- {{name: gen, over: {{i: 1..{count}}}, builtin: {{name: generate, size: 1MiB}}, out: [o], placement: {{workers: [{worker}]}}}}
- {{name: sum, over: {{i: 1..{count}}}, in: {{x: "gen[{{i}}].o"}}, builtin: checksum, out: [o], placement: {{workers: [{worker}]}}}}
- {{name: all, in: {{x: "sum[*].o"}}, builtin: concat, out: [o], placement: {{workers: [{worker}]}}}}
want: [all.o{', "gen[*].o"' if want else ''}]
"""


@unittest.skipUnless(SHARED.is_dir(), "there is no /dev/shm")
class StoreTest(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.start("taskd-scheduler", "scheduler")

    def start(self, program, name, *flags):
        more = ["--name", name, "--cpus", 2, "--work-dir", self.top / f"work-{name}"] if program == "taskd-worker" else []
        ready = self.top / f"{name}.ready"
        ready.unlink(missing_ok=True)
        return start_daemon(self.addCleanup, program, self.top, ready, *flags, *more)

    def ctl(self, *args, code=0):
        result = run([TASKCTL, "--dir", self.top, *args])
        self.assertEqual(result.code, code, result)
        return result

    def run_graph(self, text, code=0):
        path = self.top / "graph.yaml"
        path.write_text(text)
        result = self.ctl("run", path, code=code)
        return max(job["job"] for job in self.ctl("-o", "json", "job", "list").json["jobs"]), result

    def get(self, job, name):
        return self.ctl("object", "get", job, name).out

    def metric(self, name, series):
        worker = next(w for w in self.ctl("-o", "json", "worker", "list").json["workers"] if w["name"] == name)
        request = urllib.request.Request(f"http://{worker['metrics_address']}/metrics")
        request.add_header("Authorization", f"Bearer {read_access(self.top)['client_key']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        return float(re.search(rf"^{re.escape(series)} (\S+)$", text, re.M).group(1))

    @staticmethod
    def memory_folder(daemon):
        return next(lock.parent for lock in SHARED.glob(f"taskd-{os.geteuid()}-*/lock") if lock.read_text().strip() == str(daemon.pid))

    @staticmethod
    def files(folder):
        return {(stat.st_ino, stat.st_mtime_ns) for path in (folder / "store").iterdir() for stat in [path.stat()]}

    def test_ten_times_the_budget(self):
        self.start("taskd-worker", "small", "--store", "8MiB")
        self.start("taskd-worker", "plain", "--store", 0, "--memory-dir", "none")
        job, _ = self.run_graph(graph(80, "small"))
        right, _ = self.run_graph(graph(80, "plain"))
        for name in ("all.o", "gen[1].o", "gen[40].o", "gen[80].o"):
            self.assertEqual(self.get(job, name), self.get(right, name), name)
        self.assertLessEqual(self.metric("small", 'taskd_worker_store_bytes{where="shared_memory"}'), 8 * MIB)
        self.assertGreaterEqual(self.metric("small", 'taskd_worker_store_bytes{where="disk"}'), 72 * MIB)
        self.assertGreater(self.metric("small", "taskd_worker_spilled_bytes_total"), 0)
        self.assertEqual(self.metric("small", "taskd_worker_objects_lost_total"), 0)
        self.assertEqual(self.metric("plain", 'taskd_worker_store_bytes{where="disk"}'), 80 * MIB)

    def test_what_goes_to_disk_compressed_is_read_by_everybody(self):
        """32 MiB of text, 8 MiB of memory. Each has room when it is made: what has none goes to disk as it is."""
        self.start("taskd-worker", "small", "--store", "8MiB", "--compress-spill")
        texts = ["".join(f"{n}\n" for n in range(i * 1000000, i * 1000000 + 520001)).encode() for i in range(1, 9)]
        for i, text in enumerate(texts, 1):
            made, _ = self.run_graph(f"""
taskd: 1
tasks:
- {{name: text, sh: 'seq {i}000000 {i}520000 > $out_o', out: {{o: o}}}}
- {{name: gen, in: {{x: text.o}}, builtin: concat, out: [o]}}
want: [gen.o]
""")
            self.ctl("dataset", "publish", f"text{i}", made, "gen.o")
            until(lambda: self.metric("small", 'taskd_worker_store_bytes{where="shared_memory"}') <= 6 * MIB, "room for the next")
            self.assertEqual(self.get(made, "gen.o"), text)
        on_disk = self.metric("small", 'taskd_worker_store_bytes{where="disk"}')
        self.assertTrue(MIB < on_disk < 8 * MIB, on_disk)   # of seven, as plain ones 28 MiB
        (self.top / "m_read.py").write_text("import zlib\n\n\ndef read(x):\n    return b'%d' % zlib.crc32(x[0])\n")
        job, _ = self.run_graph("taskd: 1\ntasks:\n" + "".join(f"""
- {{name: command{i}, in: {{x: {{dataset: text{i}}}}}, sh: 'cat $in_x/* > $out_o', out: {{o: o}}}}
- {{name: python{i}, in: {{x: {{dataset: text{i}}}}}, python: {{call: 'm_read:read', path: '{self.top}'}}, out: [o]}}
""" for i in range(1, 9)))
        for i, text in enumerate(texts, 1):
            self.assertEqual(self.get(job, f"command{i}.o"), text)
            self.assertEqual(self.get(job, f"python{i}.o"), b"%d" % zlib.crc32(text))
        self.assertEqual(self.metric("small", "taskd_worker_objects_lost_total"), 0)

    def test_full_disk(self):
        self.start("taskd-worker", "small", "--store", "4MiB", "--disk", "4MiB")
        job, result = self.run_graph(graph(20, "small"), code=1)
        said = result.text + result.error + self.ctl("job", "show", job).text
        self.assertIn("may not use more than 4.00 MiB of disk (--disk)", said)
        self.ctl("job", "forget", job)
        # Nothing is left of it, and what fits is made.
        until(lambda: self.metric("small", "taskd_worker_store_objects") == 0, "the store to be empty")
        job, _ = self.run_graph(graph(3, "small"))
        self.assertEqual(len(self.get(job, "gen[3].o")), MIB)

    def test_old_logs_are_on_disk(self):
        """100 logs of 900 kB are more than memory has for them."""
        count = 100
        for name, flags in (("keeps", []), ("keeps-few", ["--log-disk", "8MiB"])):
            with self.subTest(name):
                worker = self.start("taskd-worker", name, *flags)
                job, _ = self.run_graph(f"""
taskd: 1
tasks:
- {{name: talk, over: {{i: 1..{count}}}, sh: 'echo begin $i; head -c 900000 /dev/zero | tr "\\0" x; echo end >&2', placement: {{workers: [{name}]}}}}
- {{name: silent, over: {{i: 1..3}}, sh: 'true', placement: {{workers: [{name}]}}}}
""")
                logs = self.top / f"work-{name}" / "logs"
                until(lambda: self.metric(name, 'taskd_worker_log_bytes{where="memory"}') <= 32 * MIB, "older logs have left memory")
                on_disk = self.metric(name, 'taskd_worker_log_bytes{where="disk"}')
                self.assertTrue(MIB < on_disk <= (8 * MIB if flags else count * MIB), on_disk)
                self.assertTrue(1 <= len(list(logs.iterdir())) <= 64)
                kept = [i for i in range(1, count + 1) if self.has_log(job, i)]
                self.assertEqual(len(kept) + self.metric(name, "taskd_worker_logs_dropped_total"), count)
                self.assertTrue(32 <= len(kept) < 50 if flags else len(kept) * 900_000 > 64 * MIB, kept)
                for follow in ([], ["-f"]):
                    self.assertEqual(self.ctl("task", "logs", job, "silent[2]", *follow).out, b"")
                    self.assertTrue(self.ctl("task", "logs", job, f"talk[{kept[0]}]", "--stdout", *follow).text.startswith(f"begin {kept[0]}\nxxx"))
                self.assertEqual(self.ctl("task", "logs", job, f"talk[{kept[0]}]", "--stderr").text, "end\n")
                worker.terminate()
                worker.wait()
                self.assertFalse(logs.exists())

    def has_log(self, job, i):
        result = run([TASKCTL, "--dir", self.top, "task", "logs", job, f"talk[{i}]", "--stdout"])
        self.assertTrue(result.code == 0 or "the oldest logs are dropped" in result.error, result)
        return result.code == 0 and result.text.startswith(f"begin {i}\n")

    def test_a_flipped_bit_on_disk_is_made_again(self):
        worker = self.start("taskd-worker", "small", "--store", "2MiB")
        job, _ = self.run_graph(graph(12, "small"))
        right = {name: self.get(job, name) for name in (f"gen[{i}].o" for i in range(1, 13))}
        files = [path for path in (self.top / "work-small" / "store").iterdir() if path.stat().st_size == MIB]
        self.assertGreaterEqual(len(files), 10)
        for path in files:
            stat = path.stat()
            with path.open("r+b") as file:
                file.seek(1000)
                byte = file.read(1)
                file.seek(1000)
                file.write(bytes([byte[0] ^ 1]))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        for name, value in right.items():
            until(lambda: run([TASKCTL, "--dir", self.top, "object", "get", job, name]).out == value, f"{name} to be right again")
        self.assertGreaterEqual(self.metric("small", "taskd_worker_objects_lost_total"), 10)
        self.assertIsNone(worker.poll())

    def test_a_damaged_input_of_a_command_is_made_again(self):
        self.start("taskd-worker", "small", "--store", "1MiB")
        job, _ = self.run_graph("""
taskd: 1
tasks:
- {name: gen, builtin: {name: generate, size: 4MiB}, out: [o]}
want: [gen.o]
""")
        right = self.get(job, "gen.o")
        self.ctl("job", "forget", job)
        text = f"""
taskd: 1
tasks:
- {{name: gen, builtin: {{name: generate, size: 4MiB}}, out: [o]}}
- {{name: hold, sh: 'until [ -e {self.top}/go ]; do sleep 0.05; done', stdout: h}}
- {{name: copy, in: {{x: gen.o, h: hold.h}}, sh: 'cat "$in_x" > "$out_y"', out: {{y: y}}}}
want: [copy.y]
"""
        path = self.top / "graph.yaml"
        path.write_text(text)
        job = self.ctl("-q", "submit", path).text.split()[0]
        until(lambda: self.ctl("-o", "json", "job", "show", job).json["done"] == 1, "the object to be there")
        [file] = (self.top / "work-small" / "store").iterdir()
        with file.open("r+b") as changed:
            changed.write(b"damaged!")
        (self.top / "go").touch()
        self.ctl("job", "wait", job)
        self.assertEqual(self.get(job, "copy.y"), right)

    def test_commands_read_results_in_memory_and_may_not_change_them(self):
        worker = self.start("taskd-worker", "one", "--store", "100MiB")
        job, _ = self.run_graph("""
taskd: 1
tasks:
- {name: gen, builtin: {name: generate, size: 2MiB}, out: [o]}
- {name: copy, in: {x: gen.o}, sh: 'test -h "$in_x"; cat "$in_x" > "$out_y"', out: {y: y}}
want: [copy.y, gen.o]
""")
        self.assertEqual(self.get(job, "copy.y"), self.get(job, "gen.o"))
        self.assertEqual(self.metric("one", 'taskd_worker_store_bytes{where="shared_memory"}'), 2 * MIB)
        folder = self.memory_folder(worker)
        until(lambda: not list((folder / "run").iterdir()), "links of attempts to go")
        _, result = self.run_graph("""
taskd: 1
tasks:
- {name: gen, builtin: {name: generate, size: 2MiB}, out: [o]}
- {name: bad, in: {x: gen.o}, sh: 'echo >> "$in_x"', retry: 0}
""", code=1)
        self.assertIn("changed its input", result.text + result.error)
        self.assertEqual(self.metric("one", "taskd_worker_objects_lost_total"), 1)

    def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(self):
        dead = self.start("taskd-worker", "dead", "--store", "100MiB")
        job, _ = self.run_graph(graph(3, "dead"))
        folder = self.memory_folder(dead)
        left = self.files(folder)
        self.assertEqual(len(left), 3)
        self.start("taskd-worker", "other", "--store", "100MiB")
        self.assertEqual(self.files(folder), left)
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        again = self.start("taskd-worker", "dead", "--store", "100MiB")
        self.assertEqual(self.memory_folder(again), folder)
        self.assertFalse(self.files(folder) & left)   # what it makes anew may be there already
        again.terminate()
        again.wait()
        self.assertFalse(folder.exists())


if __name__ == "__main__":
    unittest.main()
