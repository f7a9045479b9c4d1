"""Large inputs between workers, and results to clients, while holders die and wires break."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import time
import unittest
import urllib.request

from harness import TASKCTL, read_access, run, start_daemon, until
from proxy import Proxy

MIB = 1 << 20
SIZE = 96 * MIB
BYTES = (b"taskd\n" * (SIZE // 6 + 1))[:SIZE]
DIGEST = hashlib.sha256(BYTES).hexdigest()
MAKE = f"yes taskd | head -c {SIZE} > \"$out_o\""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class TransferTest(unittest.TestCase):
    """A scheduler; each test starts the workers that it needs."""

    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        start_daemon(self.addCleanup, "taskd-scheduler", self.top, self.top / "scheduler.ready")

    def worker(self, name, *flags, compresses=False):
        """Starts it; returns its process. Without compression, as bytes are counted here, and a relay may be slow."""
        return start_daemon(self.addCleanup, "taskd-worker", self.top, self.top / f"{name}.ready", "--name", name, "--cpus", 1,
                            "--work-dir", self.work_dir(name), *flags, *["--no-compression"] * (not compresses))

    def work_dir(self, name):
        return self.top / f"work-{name}"

    def worker_behind(self, name, *flags, **how):
        """A worker whose data goes through a proxy; returns both."""
        listen = f"127.0.0.1:{free_port()}"
        proxy = Proxy(listen)
        self.enterContext(proxy)
        return self.worker(name, "--listen", listen, "--advertise", proxy.address, *flags, **how), proxy

    def ctl(self, *args, code=0):
        result = run([TASKCTL, "--dir", self.top, *args], timeout_s=120)
        self.assertEqual(result.code, code, result)
        return result

    def metric(self, name, worker):
        """A counter of a worker, or of its one series that has the label given as name{...}."""
        ready = json.loads((self.top / f"{worker}.ready").read_text())
        request = urllib.request.Request(f"http://{ready['metrics_address']}/metrics")
        request.add_header("Authorization", f"Bearer {read_access(self.top)['client_key']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            page = answer.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        self.assertIsNotNone(found, f"{name} in\n{page}")
        return int(float(found[1]))

    def make(self, worker):
        """A job whose one result is on that worker."""
        graph = self.top / "make.yaml"
        graph.write_text(f"""
taskd: 1
tasks:
- {{name: big, sh: '{MAKE}', out: {{o: big.bin}}, placement: {{workers: [{worker}], rule: preferred}}}}
want: [big.o]
""")
        self.ctl("run", graph)
        job = json.loads(self.ctl("-o", "json", "job", "list").text)["jobs"][-1]["job"]
        self.ctl("dataset", "publish", "big", job, "big.o")
        return job

    def read_at(self, worker):
        """Reads the result there; its digest."""
        graph = self.top / "read.yaml"
        graph.write_text(f"""
taskd: 1
tasks:
- {{name: sum, in: {{x: {{dataset: big}}}}, sh: 'cat "$in_x" "$in_x"/* 2>/dev/null | sha256sum | cut -c1-64', stdout: s,
    placement: {{workers: [{worker}]}}}}
want: [sum.s]
""")
        self.ctl("run", graph)
        job = max(job["job"] for job in json.loads(self.ctl("-o", "json", "job", "list").text)["jobs"])
        return self.ctl("object", "get", job, "sum.s").text.strip()

    def test_files_of_one_host_are_linked(self):
        self.worker("a")
        self.worker("b")
        self.make("a")
        self.assertEqual(self.read_at("b"), DIGEST)
        self.assertEqual(self.metric("taskd_worker_linked_bytes_total", "b"), SIZE)
        self.assertEqual(self.metric("taskd_worker_fetched_bytes_total", "b"), 0)
        self.assertEqual(self.metric("taskd_worker_served_bytes_total", "a"), 0)

    def test_a_slow_link_is_compressed(self):
        _, proxy = self.worker_behind("a", compresses=True)
        for moved in range(MIB, 2 * SIZE, MIB):
            proxy.after(moved, lambda: time.sleep(0.04))   # 25 MB/s
        self.worker("b", "--no-file-passing", compresses=True)
        self.make("a")
        self.assertEqual(self.read_at("b"), DIGEST)
        saved = self.metric("taskd_worker_compression_saved_bytes_total", "a")
        self.assertGreater(saved, SIZE // 4)
        self.assertGreater(self.metric("taskd_worker_compressed_bytes_total", "a"), saved)
        self.assertEqual(self.metric("taskd_worker_fetched_bytes_total", "b"), SIZE - saved)
        self.worker("c", "--no-file-passing")
        self.assertEqual(self.read_at("c"), DIGEST)
        self.assertEqual(self.metric("taskd_worker_fetched_bytes_total", "c"), SIZE)

    def test_a_cut_wire_goes_on_where_it_was(self):
        _, proxy = self.worker_behind("a")
        self.worker("b", "--no-file-passing")
        self.make("a")
        proxy.after(SIZE // 2, proxy.cut)
        self.assertEqual(self.read_at("b"), DIGEST)
        self.assertGreater(self.metric("taskd_worker_resumed_bytes_total", "b"), SIZE // 8)
        self.assertEqual(self.metric("taskd_worker_fetched_bytes_total", "b"), SIZE)

    def test_holder_killed_in_the_middle(self):
        holder, proxy = self.worker_behind("a")
        self.worker("b", "--no-file-passing")
        self.make("a")
        killed = []

        def kill():
            os.kill(holder.pid, signal.SIGKILL)
            killed.append(holder.pid)

        proxy.after(SIZE // 2, kill)
        self.assertEqual(self.read_at("b"), DIGEST)    # made again: nobody else had it
        self.assertEqual(killed, [holder.pid])

    def test_another_holder_goes_on(self):
        holder, proxy = self.worker_behind("a")
        self.worker("c", "--no-file-passing")
        self.make("a")
        self.assertEqual(self.read_at("c"), DIGEST)    # c has it, too
        self.worker("b", "--no-file-passing")
        # The holder that is asked may be either of both.
        proxy.after(SIZE + SIZE // 2, lambda: os.kill(holder.pid, signal.SIGKILL))
        self.assertEqual(self.read_at("b"), DIGEST)

    def test_many_readers_get_it_from_each_other(self):
        maker = self.worker("a")
        self.make("a")
        readers = [f"r{n}" for n in range(6)]
        for name in readers:
            self.worker(name, "--no-file-passing")
        tasks = "".join(f"- {{name: {name}, in: {{x: {{dataset: big}}}}, builtin: checksum, out: [v], placement: {{workers: [{name}]}}}}\n"
                        for name in readers)
        os.kill(maker.pid, signal.SIGSTOP)             # until all have asked it
        try:
            graph = self.top / "readers.yaml"
            graph.write_text(f"taskd: 1\ntasks:\n{tasks}want: [{', '.join(f'{name}.v' for name in readers)}]\n")
            job = int(self.ctl("-q", "submit", graph).text.split()[0])
            until(lambda: all(self.metric('taskd_worker_attempts{state="fetching"}', name) == 1 for name in readers), "all ask")
        finally:
            os.kill(maker.pid, signal.SIGCONT)
        self.ctl("job", "wait", job)
        values = {self.ctl("object", "get", job, f"{name}.v").out for name in readers}
        self.assertEqual(len(values), 1, values)
        served = {name: self.metric("taskd_worker_served_bytes_total", name) // SIZE for name in ["a", *readers]}
        self.assertEqual(sum(served.values()), len(readers), served)
        self.assertLess(served["a"], len(readers), served)

    def test_damage_on_the_holders_disk(self):
        self.worker("a")
        self.worker("b", "--no-file-passing")
        self.make("a")
        files = [path for path in self.work_dir("a").rglob("*") if path.is_file() and path.stat().st_size == SIZE]
        self.assertEqual(len(files), 1, files)
        before = files[0].stat()
        with open(files[0], "r+b") as file:
            file.seek(SIZE // 2)
            file.write(b"X")
        os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertEqual(self.read_at("b"), DIGEST)
        self.assertEqual(self.metric("taskd_worker_objects_lost_total", "a"), 1)

    def test_a_client_goes_on(self):
        _, proxy = self.worker_behind("a")
        job = self.make("a")
        proxy.after(SIZE // 2, proxy.cut)
        out = self.top / "out.bin"
        self.ctl("object", "get", job, "big.o", "-O", out)
        self.assertEqual(hashlib.sha256(out.read_bytes()).hexdigest(), DIGEST)
        self.assertLess(self.metric("taskd_worker_served_bytes_total", "a"), SIZE + SIZE // 4)

    def test_a_client_outlives_its_holder(self):
        holder, proxy = self.worker_behind("a")
        self.worker("b")
        job = self.make("a")
        proxy.after(SIZE // 2, lambda: os.kill(holder.pid, signal.SIGKILL))
        self.assertEqual(hashlib.sha256(self.ctl("object", "get", job, "big.o").out).hexdigest(), DIGEST)


if __name__ == "__main__":
    unittest.main()
