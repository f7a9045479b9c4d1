"""Real daemons for tests: starts clusters with `taskctl cluster start` in temporary folders and drives them.

Tests wait for what they need (`until`), never for an amount of time; the sleeps here are polling intervals.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["TASKD_BIN"])          # set by ctest; by hand: TASKD_BIN=build/dev/bin
SOURCE = pathlib.Path(__file__).resolve().parents[2]
TASKCTL = str(BIN / "taskctl")
PATIENCE_S = 60                                       # a machine may be slow; nothing passes by waiting longer


def until(condition, what, timeout_s=PATIENCE_S):
    """The first true value of condition(), polled; fails with `what` after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s for {what}")
        time.sleep(0.02)


def alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Result:
    """What one run of a program gave."""

    def __init__(self, argv, done):
        self.argv, self.code, self.out, self.err = argv, done.returncode, done.stdout, done.stderr

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def error(self):
        return self.err.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"$ {' '.join(map(str, self.argv))}\nexit code {self.code}\n--- stdout\n{self.text}\n--- stderr\n{self.error}"


def run(argv, timeout_s=PATIENCE_S, env=None):
    argv = [str(word) for word in argv]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=timeout_s,
                          env={**os.environ, **(env or {})}, check=False)
    return Result(argv, done)


def read_access(folder):
    """The access file as a dict of text; addresses as a list."""
    found, key = {}, None
    for line in (pathlib.Path(folder) / "access.yaml").read_text().splitlines():
        if line.lstrip().startswith("- "):
            found.setdefault(key, []).append(line.split("- ", 1)[1].strip().strip("\"'"))
        elif ":" in line and not line.startswith("#"):
            key, value = (part.strip() for part in line.split(":", 1))
            if value.startswith("["):
                found[key] = [item.strip().strip("\"'") for item in value.strip("[]").split(",")]
            elif value:
                found[key] = value.strip("\"'")
    return found


def start_daemon(add_cleanup, program, folder, ready, *flags):
    """Starts a daemon of the cluster whose access file lies in `folder`; it is ready, and ends with the test."""
    words = [BIN / program, "--dir", folder, "--ready-file", ready, *flags]
    daemon = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop():
        daemon.terminate()
        daemon.wait(30)

    add_cleanup(stop)
    until(lambda: ready.exists() or daemon.poll() is not None, f"{program} is ready")
    assert daemon.poll() is None, f"{program} ended with {daemon.returncode}"
    return daemon


class Cluster:
    """One scheduler and some workers in a folder of their own."""

    def __init__(self, workers=3, cpus=2, zero=False, store=None):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.dir = self.top / "state"
        self.files = self.top / "files"               # graphs and marks of the tests
        self.files.mkdir()
        self.workers = workers
        try:
            self.ctl("cluster", "start", "--workers", workers, "--cpus", cpus, *["--zero-workers"] * zero,
                     *(["--store", store] if store is not None else []))
        except BaseException:
            shutil.rmtree(self.top, ignore_errors=True)
            raise

    def stop(self):
        """Ends it, and fails if a process or a file is left."""
        try:
            pids = self.pids()
            with contextlib.suppress(ProcessLookupError):
                for pid in pids.values():             # a stopped process cannot end by itself
                    os.kill(pid, signal.SIGCONT)
            self.ctl("cluster", "stop")
            left = [name for name, pid in pids.items() if alive(pid)]
            assert not left, f"still running after cluster stop: {left}"
            assert not self.dir.exists(), f"left behind: {list(self.dir.rglob('*'))}"
        finally:
            shutil.rmtree(self.top, ignore_errors=True)

    # Programs

    def ctl_any(self, *args, timeout_s=PATIENCE_S):
        """taskctl with whatever exit code."""
        return run([TASKCTL, "--dir", self.dir, *args], timeout_s)

    def ctl(self, *args, code=0, timeout_s=PATIENCE_S):
        result = self.ctl_any(*args, timeout_s=timeout_s)
        assert result.code == code, f"expected exit code {code}\n{result}"
        return result

    def json(self, *args, code=0):
        return self.ctl("-o", "json", *args, code=code).json

    def background(self, *args):
        """taskctl as a child that goes on; the caller ends it."""
        return subprocess.Popen([TASKCTL, "--dir", str(self.dir), *map(str, args)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # Graphs and jobs

    def graph(self, text, name="graph.yaml"):
        path = self.files / name
        path.write_text(text)
        return path

    def submit(self, text):
        return int(self.ctl("-q", "submit", self.graph(text)).text.split()[0])

    def run_graph(self, text, code=0, timeout_s=PATIENCE_S):
        """Runs it to its end; returns (job id, Result)."""
        result = self.ctl("run", self.graph(text), code=code, timeout_s=timeout_s)
        return self.last_job(), result

    def run_file(self, path):
        self.ctl("run", path)
        return self.last_job()

    def last_job(self):
        return max(job["job"] for job in self.json("job", "list")["jobs"])

    def job(self, job):
        return self.json("job", "show", job)

    def wait(self, job, code=0, timeout_s=PATIENCE_S):
        return self.ctl("job", "wait", job, code=code, timeout_s=timeout_s)

    def get(self, job, name, *more):
        return self.ctl("object", "get", job, name, *more).out

    def status(self):
        return self.json("cluster", "status")

    def worker_list(self):
        return {worker["name"]: worker for worker in self.json("worker", "list")["workers"]}

    # Processes

    def pids(self):
        """Name -> pid of every daemon."""
        return {path.stem: json.loads(path.read_text())["pid"] for path in sorted((self.dir / "local").glob("*.ready"))}

    def scheduler_address(self):
        return self.access()["addresses"][0]

    def kill(self, name, how=signal.SIGKILL):
        os.kill(self.pids()[name], how)

    def logs(self):
        text = ""
        for path in sorted((self.dir / "local").glob("*.log")):
            text += f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]) + "\n"
        return text

    # Metrics

    def http(self, path, key=None):
        """(status, body) of the scheduler's HTTP side."""
        request = urllib.request.Request(f"http://{self.status()['metrics_address']}{path}")
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def access(self):
        return read_access(self.dir)

    def key(self):
        return self.access()["client_key"]


class Gate:
    """Holds tasks of a job until the test opens it, and tells which have come.

    In a task's sh text: `{gate.here}` (marks the task as come), `{gate.wait}` (waits for open()).
    """

    def __init__(self, cluster):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gate-", dir=cluster.files))

    def here(self, name):
        return f'echo $$ > "{self.folder}/{name}.new" && mv "{self.folder}/{name}.new" "{self.folder}/{name}.here"'

    @property
    def wait(self):
        return f'until [ -e "{self.folder}/open" ]; do sleep 0.05; done'

    def open(self):
        (self.folder / "open").touch()

    def come(self):
        """Name -> pid of the shell that came last."""
        return {path.stem: int(path.read_text()) for path in self.folder.glob("*.here")}

    def await_come(self, count):
        return until(lambda: len(self.come()) >= count and self.come(), f"{count} tasks at the gate")


class ClusterTest(unittest.TestCase):
    """One cluster for all tests of the class; its logs are shown when one fails."""

    WORKERS = 3
    CPUS = 2

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.WORKERS, cls.CPUS)
        cls.addClassCleanup(cls.cluster.stop)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.cluster.dir.exists():
            print(f"\n{self.id()} failed; the daemons' logs end with\n{self.cluster.logs()}", flush=True)

    def assert_daemons_alive(self):
        for name, pid in self.cluster.pids().items():
            self.assertTrue(alive(pid), f"{name} has stopped\n{self.cluster.logs()}")

    def assert_says(self, result, *words):
        """Each of `words` stands in what was printed; of a tuple, one of its words."""
        said = (result.text + result.error).lower()
        for word in words:
            choices = word if isinstance(word, tuple) else (word,)
            self.assertTrue(any(choice.lower() in said for choice in choices), f"expected {word!r} in\n{result}")
