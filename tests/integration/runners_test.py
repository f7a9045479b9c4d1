"""Functions as bodies, native and Python: their processes stay warm, and whatever happens in them costs one attempt."""

import ast
import base64
import os
import pickle
import signal
import subprocess
import sys
import unittest

from harness import BIN, ClusterTest, alive, until


class FunctionCase(ClusterTest):
    def failure(self, job, task):
        """What is told of a task that failed, when the job has ended."""
        self.cluster.wait(job, code=1)
        return self.cluster.json("task", "explain", job, task)["failure"]

    def assert_still_runs(self):
        self.assert_daemons_alive()
        job, _ = self.cluster.run_graph(f"taskd: 1\ntasks:\n- {{name: n, {self.fn('pid')}, out: [p]}}\nwant: [n.p]\n")
        return int(self.cluster.get(job, "n.p"))

    def mark(self, name):
        return self.cluster.files / f"{self.id()}-{name}"

    def submit_hanging(self, function, more=""):
        mark = self.mark("mark")
        job = self.cluster.submit(f"taskd: 1\nvars: {{mark: '{mark}'}}\ntasks:\n- {{name: h, {self.fn(function)}, retry: 0{more}}}\n")
        until(mark.exists, "the function runs")
        return job, int(mark.read_text())


class NativeCase(FunctionCase):
    @staticmethod
    def fn(name, library="test_ops.so"):
        return f"native: {{library: '{BIN / library}', function: {name}}}"


class NativeTest(NativeCase):
    WORKERS = 1

    def test_inputs_arguments_and_outputs(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{shared: of all}}
tasks:
- {{name: a, over: {{i: 1..3}}, sh: 'printf "a$i" > "$out_o"', out: {{o: o}}}}
- {{name: p, sh: 'printf x > p/0; printf yz > p/2', out: {{o: {{parts: "p/{{k}}", count: 3}}}}}}
- {{name: d, over: {{k: [left, right]}}, in: {{one: "a[2].o", all: "a[*].o", parts: p.o, part: "p.o[2]", file: {{path: /etc/hostname}}}},
   {self.fn("describe")}, out: [o]}}
- {{name: c, in: {{all: "d[*].o"}}, sh: 'cat "$in_all"/*', stdout: o}}
want: ["d[*].o", c.o]
""")
        self.assertEqual(self.cluster.get(job, "d[right].o").decode(), """\
d[right] cpus=1 OMP=1
one a2
all[] a1 a2 a3
parts xyz|1|1|3
part yz|2
shared=of all
k=right
file=/etc/hostname
""")
        self.assertEqual(self.cluster.get(job, "c.o").count(b"shared=of all"), 2)

    def test_large_values_are_mapped(self):
        size = 5 << 20
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{bytes: {size}}}
tasks:
- {{name: f, {self.fn("fill")}, out: [o]}}
- {{name: s, in: {{x: f.o}}, {self.fn("sum")}, out: [o]}}
want: [f.o, s.o]
""")
        want = bytes(i * 31 & 255 for i in range(256)) * (size // 256)
        self.assertEqual(self.cluster.get(job, "f.o"), want)
        told_size, told_sum, *mapping = self.cluster.get(job, "s.o").decode().split()
        self.assertEqual((int(told_size), int(told_sum)), (size, sum(want)))
        self.assertEqual(mapping[1], "r--s")
        self.assertRegex(mapping[5], "/store/")

    def test_many_small_inputs(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: g, over: {{i: 0..99}}, builtin: {{name: generate, size: 8KiB}}, out: [v]}}
- {{name: c, in: {{x: "g[*].v"}}, builtin: concat, out: [v]}}
- {{name: s, in: {{x: c.v}}, {self.fn("sum")}, out: [o]}}
- {{name: one, in: {{rest: "g[*].v", x: "g[99].v"}}, {self.fn("sum")}, out: [o]}}
want: [c.v, s.o, one.o, "g[99].v"]
""")
        for task, data in (("s", self.cluster.get(job, "c.v")), ("one", self.cluster.get(job, "g[99].v"))):
            self.assertEqual(list(map(int, self.cluster.get(job, f"{task}.o").split()[:2])), [len(data), sum(data)])

    def test_outputs_in_parts(self):
        for size in (10, 100 << 10, 2 << 20):
            with self.subTest(size):
                job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{bytes: {size}, wrong: nothing, parts: 5}}
tasks:
- {{name: h, over: {{i: 1..2}}, {self.fn("halves")}, out: [{{o: {{count: "{{parts}}"}}}}]}}
- {{name: c, over: {{k: "0..{{parts-1}}"}}, in: {{x: "h[*].o[{{k}}]"}}, sh: 'cat "$in_x"/*', stdout: o}}
want: ["c[*].o", "h[1].o"]
""")
                whole, at, ends = self.cluster.get(job, "h[1].o"), 0, []
                for k in range(5):
                    end = size if k == 4 else at + (size - at) // 2
                    self.assertEqual(self.cluster.get(job, f"c[{k}].o"), b"abcde"[k:k + 1] * (end - at) * 2)
                    at = end
                self.assertEqual(len(whole), size)

    def test_wrong_parts_are_named(self):
        for wrong, failure, words in (("silent", "output_missing", "output 'o' has 3 parts, and the function returned 0 without set_part_ends for it"),
                                      ("late", "output_missing", "output 'o' has 3 parts, and the last one ends at 100, not at its 99 bytes"),
                                      ("falling", "exit", "the parts of output 'o' do not end one after the other"),
                                      ("fewer", "exit", "output 'o' has 3 parts, not 2")):
            with self.subTest(wrong):
                job = self.cluster.submit(f"taskd: 1\nvars: {{bytes: 100, wrong: {wrong}}}\ntasks:\n"
                                          f"- {{name: h, {self.fn('halves')}, out: [{{o: {{count: 3}}}}], retry: 0}}\n")
                told = self.failure(job, "h")
                self.assertEqual(told["failure"], failure, told)
                self.assertIn(words, told["message"])

    def test_processes_are_used_again(self):
        self.assertEqual(self.assert_still_runs(), self.assert_still_runs())

    def test_output_goes_to_the_log_of_its_task(self):
        job, _ = self.cluster.run_graph(f"taskd: 1\ntasks:\n- {{name: c, over: {{i: 0..5}}, {self.fn('chat')}}}\n")
        for i in range(6):
            self.assertEqual(self.cluster.ctl("task", "logs", job, f"c[{i}]", "--stdout").text, f"said by c[{i}]\n")
            self.assertEqual(self.cluster.ctl("task", "logs", job, f"c[{i}]", "--stderr").text, f"complained by c[{i}]\n")

    def test_failures_are_named(self):
        for function, failure, code, words in (
                ("fail", "exit", 42, "the function fail returned 42: the matrix is singular"),
                ("leave", "exit", 3, "ended with exit code 3 in the middle of leave: a function returns"),
                ("fail_in_bytes", "exit", 1, "returned 1: bad \\xff byte; its stderr ends:\nand \\xfe there"),
                ("crash", "signal", 11, "was killed by signal 11 (Segmentation fault) in the middle of crash; its stderr ends:\nabout to crash"),
                ("forget", "output_missing", 0, "output 'o' was not made: the function returned 0 without an alloc for it"),
                ("disturb", "exit", 0, "what a task prints goes to its stdout"),
                ("nowhere", "cannot_start", 0, "has no function 'nowhere': define it with TASKD_OP_FUNCTION")):
            with self.subTest(function):
                job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: kept, builtin: {{name: generate, size: 1MiB}}, out: [v]}}
- {{name: t, in: {{v: kept.v}}, {self.fn(function)}, out: [o], retry: 0}}
want: [kept.v]
""")
                told = self.failure(job, "t")
                self.assertEqual((told["failure"], told["exit_code"]), (failure, code), told)
                self.assertIn(words, told["message"])
                self.assertEqual(len(self.cluster.get(job, "kept.v")), 1 << 20)
        self.assert_still_runs()

    def test_libraries_that_are_none(self):
        for library, words in (("missing.so", "missing.so: No such file or directory; it must be at this path on every worker"),
                               ("taskctl", "cannot load the library"),
                               ("no_ops.so", "put TASKD_OP_LIBRARY into one of its files"),
                               ("old_ops.so", "was made for version 999 of taskd_op.h, and this worker has version 1")):
            with self.subTest(library):
                job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, {self.fn('noop', library)}, retry: 0}}\n")
                told = self.failure(job, "t")
                self.assertEqual(told["failure"], "cannot_start")
                self.assertIn(words, told["message"])

    def test_a_crash_is_retried_in_a_new_process(self):
        before = self.assert_still_runs()
        job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, {self.fn('crash')}, retry: 1}}\n")
        self.failure(job, "t")
        self.assertEqual(len(self.cluster.json("task", "explain", job, "t")["attempts"]), 2)
        self.assertNotEqual(self.assert_still_runs(), before)
        self.assertFalse(alive(before))

    def test_kill_of_the_process(self):
        job, pid = self.submit_hanging("hang")
        os.kill(pid, signal.SIGKILL)
        told = self.failure(job, "h")
        self.assertEqual((told["failure"], told["exit_code"]), ("signal", 9))
        self.assert_still_runs()

    def test_time_limit(self):
        job, pid = self.submit_hanging("hang", ", time_limit: 300ms")
        told = self.failure(job, "h")
        self.assertEqual(told["failure"], "timeout")
        self.assertIn("stopped after its time limit of 300 ms; it said that it had done 40 %", told["message"])
        self.assertFalse(alive(pid))
        self.assert_still_runs()

    def test_cancel(self):
        for function, log in (("hang", ""), ("hang_politely", "stopped in good order\n")):
            with self.subTest(function):
                self.mark("mark").unlink(missing_ok=True)
                job, pid = self.submit_hanging(function)
                self.cluster.ctl("job", "cancel", job)
                self.cluster.wait(job, code=6)
                until(lambda: not alive(pid), "the function's process has ended")
                self.assertEqual(self.cluster.ctl("task", "logs", job, "h", "--stderr").text, log)
        self.assert_still_runs()

    def test_memory_limit(self):
        job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: g, {self.fn('grow')}, retry: 0, resources: {{mem: 40MiB}}}}\n")
        told = self.failure(job, "g")
        self.assertEqual(told["failure"], "out_of_memory")
        self.assertRegex(told["message"], r"used [0-9.]+ MiB of memory and was killed: it may use 40.0 MiB")
        self.assert_still_runs()

    def test_processes_left_behind_are_ended(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: l, {self.fn("leave_child")}, out: [o]}}
- {{name: b, {self.fn("come_back_twice")}, out: [o]}}
want: [l.o]
""")
        child = int(self.cluster.get(job, "l.o"))
        until(lambda: not alive(child), "the child has ended")
        self.assert_still_runs()


MODULE = """
import os, pickle, signal, subprocess, sys, time


class Blob:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Blob, (pickle.PickleBuffer(self.data),)


def noop():
    return b""

def make(i, size="100"):
    return Blob(bytearray([int(i)]) * int(size))

def where(x):
    return f"{len(x.data)} {x.data[0]} {x.data.readonly} {type(x.data.obj).__name__}".encode()

def total(blobs, *, factor):
    return str(sum(sum(b.data) for b in blobs) * int(factor)).encode()

def text(x):
    return type(x).__name__.encode() + b" " + bytes(x)

def two():
    return {"b": b"second", "a": b"first"}

def spread(i, size):
    return [b"", str(i).encode(), Blob(bytearray(int(size) * int(i))), {"i": i}], b"whole"

def tell(pieces):
    words = []
    for piece in pieces:
        if isinstance(piece, memoryview) and len(piece):
            words.append("bytes " + bytes(piece).decode())
        elif isinstance(piece, Blob):
            words.append(f"Blob {len(piece.data)}")
        elif not isinstance(piece, memoryview):
            words.append(type(piece).__name__)
    return " ".join(words).encode()

def four():
    return [1, 2, 3, 4]

def wrong_count():
    return 1, 2, 3

def raises():
    print("going well")
    sys.stderr.write("not any more\\n")
    raise ValueError("no such luck")

class Special(Exception):
    def __init__(self, code, why):
        super().__init__(why)
        self.code = code

    def __reduce__(self):
        return Special, (self.code, *self.args)

class OneWay(Exception):
    def __init__(self, code, why):
        super().__init__(why)

def raises_own():
    raise Special(7, "its own") from KeyError("hidden")

def raises_one_way():
    raise OneWay(7, "lost on the way")

def raises_large():
    raise ValueError("x" * 5000)

def unpicklable():
    return lambda: 1

def exits():
    sys.exit(5)

def leaves():
    os._exit(6)

def crashes():
    os.kill(os.getpid(), signal.SIGSEGV)

def child():
    return str(subprocess.Popen(["sleep", "1000"]).pid).encode()

def back():
    os.fork()
    return b"mine"

def pid():
    return str(os.getpid()).encode()

def hang(mark):
    try:
        with open(mark + ".new", "w") as f:
            f.write(str(os.getpid()))
        os.rename(mark + ".new", mark)
        time.sleep(1000)
    finally:
        print("cleaned up")
"""


class PythonTest(FunctionCase):
    WORKERS = 1

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.cluster.files / "m_test.py").write_text(MODULE)

    @classmethod
    def fn(cls, name):
        return f"python: {{call: 'm_test:{name}', path: '{cls.cluster.files}'}}"

    def test_values(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{factor: 2}}
tasks:
- {{name: m, over: {{i: 1..3}}, {self.fn("make")}, out: [o]}}
- {{name: t, in: {{blobs: "m[*].o"}}, {self.fn("total")}, out: [o]}}
- {{name: c, sh: 'printf abc > "$out_o"', out: {{o: o}}}}
- {{name: x, in: {{x: c.o}}, {self.fn("text")}, out: [o]}}
- {{name: two, {self.fn("two")}, out: [a, b]}}
- {{name: join, in: {{a: two.a, b: two.b}}, sh: 'cat "$in_a" "$in_b"', stdout: o}}
want: [t.o, x.o, join.o]
""")
        self.assertEqual(self.cluster.get(job, "t.o"), b"1200")
        self.assertEqual(self.cluster.get(job, "x.o"), b"memoryview abc")
        self.assertEqual(self.cluster.get(job, "join.o"), b"firstsecond")

    def test_large_values_are_mapped(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{size: {3 << 20}}}
tasks:
- {{name: m, over: {{i: [7]}}, {self.fn("make")}, out: [o]}}
- {{name: w, in: {{x: "m[7].o"}}, {self.fn("where")}, out: [o]}}
want: [w.o]
""")
        self.assertEqual(self.cluster.get(job, "w.o"), f"{3 << 20} 7 True mmap".encode())

    def test_failures_are_named(self):
        for function, failure, words in (
                ("raises", "exit", ("ValueError: no such luck\nTraceback", "in raises", "its stderr ends:\nnot any more")),
                ("unpicklable", "output_missing", ("output 'o' cannot be pickled: ", "unpicklable.<locals>.<lambda>")),
                ("exits", "exit", ("the function called sys.exit(5)",)),
                ("leaves", "exit", ("the Python process ended with exit code 6 in the middle of m_test:leaves",)),
                ("crashes", "signal", ("signal 11", "Fatal Python error: Segmentation fault", "in crashes")),
                ("nowhere", "cannot_start", ("there is no m_test:nowhere",)),
                ("total", "exit", ("TypeError: ", "missing 1 required positional argument: 'blobs'"))):
            with self.subTest(function):
                job = self.cluster.submit(f"taskd: 1\nvars: {{factor: 1}}\ntasks:\n- {{name: t, {self.fn(function)}, out: [o], retry: 0}}\n")
                told = self.failure(job, "t")
                self.assertEqual(told["failure"], failure, told)
                for word in words:
                    self.assertIn(word, told["message"])
        self.assert_still_runs()

    def test_exceptions_come_back(self):
        sys.path.insert(0, str(self.cluster.files))
        self.addCleanup(sys.path.remove, str(self.cluster.files))
        for function, check in (("raises", lambda e: (type(e), e.args) == (ValueError, ("no such luck",))),
                                ("raises_own", lambda e: (type(e).__name__, e.code, str(e)) == ("Special", 7, "its own")),
                                ("raises_one_way", None), ("raises_large", None), ("exits", None), ("nowhere", None)):
            with self.subTest(function):
                job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, {self.fn(function)}, retry: 0}}\n")
                told = self.failure(job, "t")
                shown = self.cluster.json("job", "show", job)["failures"][0]
                self.assertEqual(told["exception"], shown["exception"])
                pickled = base64.b64decode(told["exception"], validate=True)
                self.assertEqual(pickled == b"", check is None, pickled)
                self.assertTrue(check is None or check(pickle.loads(pickled)), pickled)

    def test_wrong_number_of_outputs(self):
        job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, {self.fn('wrong_count')}, out: [a, b], retry: 0}}\n")
        self.assertIn("a function with the 2 outputs a, b returns a tuple of so many values, or a dict, not tuple", self.failure(job, "t")["message"])

    def test_outputs_in_parts(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{size: {1 << 20}}}
tasks:
- {{name: s, over: {{i: 1..2}}, {self.fn("spread")}, out: [{{p: {{count: 4}}}}, n]}}
- {{name: t, over: {{k: 0..3}}, in: {{pieces: "s[*].p[{{k}}]"}}, {self.fn("tell")}, out: [o]}}
- {{name: all, in: {{pieces: "s[2].p"}}, {self.fn("tell")}, out: [o]}}
- {{name: c, in: {{x: "s[1].p[1]"}}, sh: 'cat "$in_x"', stdout: o}}
want: ["t[*].o", all.o, c.o, "s[1].n"]
""")
        size = 1 << 20
        told = {0: "none", 1: "bytes 1 bytes 2", 2: f"Blob {size} Blob {2 * size}", 3: "dict dict"}
        for k, want in told.items():
            self.assertEqual(self.cluster.get(job, f"t[{k}].o").decode().strip() or "none", want)
        self.assertEqual(self.cluster.get(job, "all.o").decode().strip(), f"bytes 2 Blob {2 * size} dict")
        self.assertEqual(self.cluster.get(job, "c.o"), b"1")
        self.assertEqual(self.cluster.get(job, "s[1].n"), b"whole")

    def test_wrong_parts_are_named(self):
        for function, words in (("noop", "output 'o' has 3 parts: a list or tuple of so many values, not bytes"),
                                ("four", "output 'o' has 3 parts: a list or tuple of so many values, not 4 values")):
            with self.subTest(function):
                job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, {self.fn(function)}, out: [{{o: {{count: 3}}}}], retry: 0}}\n")
                told = self.failure(job, "t")
                self.assertEqual(told["failure"], "output_missing", told)
                self.assertIn(words, told["message"])

    def test_missing_module(self):
        job = self.cluster.submit("taskd: 1\ntasks:\n- {name: t, python: 'no_such_module:f', retry: 0}\n")
        told = self.failure(job, "t")
        self.assertEqual(told["failure"], "cannot_start")
        self.assertRegex(told["message"], "cannot import no_such_module with .*python.*: No module named 'no_such_module'; name its folder")

    def environment(self, name):
        """A virtual environment with a module of its own, which is called `which`."""
        folder = self.cluster.files / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
        (packages,) = folder.glob("lib/python3*/site-packages")
        (packages / "m_which.py").write_text(f"import sys\n\n\ndef which():\n    return f'{name} {{sys.prefix}}'.encode()\n")
        return folder

    def test_environments(self):
        one, other = self.environment("env_one"), self.environment("env_other")
        (self.cluster.files / "m_sub.py").write_text("import m_which\n\n\ndef f(x):\n    return bytes(x) + m_which.which()\n")
        job, _ = self.cluster.run_graph(f"""
taskd: 1
vars: {{envs: '{self.cluster.files}'}}
tasks:
- {{name: a, over: {{i: 1..3}}, python: {{call: "m_which:which", env: "{{envs}}/env_one"}}, out: [o]}}
- {{name: b, in: {{x: "a[3].o"}}, python: {{call: "m_sub:f", path: '{self.cluster.files}', interpreter: '{other}/bin/python3'}}, out: [o]}}
want: ["a[*].o", b.o]
""")
        for i in (1, 2, 3):
            self.assertEqual(self.cluster.get(job, f"a[{i}].o").decode(), f"env_one {one}")
        self.assertEqual(self.cluster.get(job, "b.o").decode(), f"env_one {one}env_other {other}")
        self.cluster.run_graph(f"taskd: 1\ntasks:\n- {{name: t, python: {{call: 'm_which:which'}}, retry: 0}}\n", code=1)  # the worker's own
        self.environment("env_one")                                    # made anew at the same place
        job, _ = self.cluster.run_graph("taskd: 1\ntasks:\n- {name: t, python: {call: 'm_which:which', env: '%s'}, out: [o]}\nwant: [t.o]\n" % one)
        self.assertEqual(self.cluster.get(job, "t.o").decode(), f"env_one {one}")

    def test_interpreters_that_are_none(self):
        folder = self.cluster.files / "interpreters"
        folder.mkdir()
        moved = self.environment("env_moved")
        moved.rename(folder / "env_here")
        (folder / "dangling").symlink_to(folder / "python9")
        (folder / "text").write_text("no program")
        (folder / "other").write_text("#!/bin/sh\necho I am no Python >&2\nexit 9\n")
        (folder / "old").write_text(f"""#!{sys.executable}
import sys
sys.version_info, sys.version = (3, 6, 8), "3.6.8 (default)"
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {{"__name__": "__main__", "__file__": sys.argv[1]}})
""")
        for name in ("other", "old"):
            (folder / name).chmod(0o700)
        for field, words in ((f"env: '{moved}'", f"cannot start the interpreter {moved}/bin/python: No such file or directory; it must be at this path on every worker"),
                             (f"interpreter: '{folder}/dangling'", f"it is a link to {folder}/python9, and that leads to no file"),
                             (f"interpreter: '{folder}/text'", "it is no program that this worker's user may run"),
                             (f"interpreter: '{folder}'", "it is no program that this worker's user may run"),
                             (f"interpreter: '{folder}/other'", f"the Python process ({folder}/other) ended with exit code 9 before it could take a task; its stderr ends:\nI am no Python"),
                             (f"interpreter: '{folder}/old'", "taskd needs Python 3.9 or later, and ")):
            with self.subTest(field):
                job = self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: t, python: {{call: 'os:getcwd', {field}}}, retry: 0}}\n")
                told = self.failure(job, "t")
                self.assertEqual(told["failure"], "cannot_start", told)
                self.assertIn(words, told["message"])
        job, _ = self.cluster.run_graph(f"taskd: 1\ntasks:\n- {{name: t, python: {{call: 'm_which:which', env: '{folder}/env_here'}}, out: [o]}}\nwant: [t.o]\n")
        self.assertEqual(self.cluster.get(job, "t.o").decode(), f"env_moved {folder}/env_here")
        self.assert_still_runs()

    def test_the_runner_is_read_by_old_interpreters(self):
        """So far that it can say that they are too old."""
        source = (BIN / "taskd_runner.py").read_text()
        ast.parse(source, feature_version=(3, 6))
        with self.assertRaises(SyntaxError):
            ast.parse("(x := 1)", feature_version=(3, 6))

    def test_processes_left_behind_are_ended(self):
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: c, {self.fn("child")}, out: [o]}}
- {{name: b, {self.fn("back")}, out: [o]}}
want: [c.o, b.o]
""")
        child = int(self.cluster.get(job, "c.o"))
        until(lambda: not alive(child), "the child has ended")
        self.assertEqual(self.cluster.get(job, "b.o"), b"mine")
        self.assert_still_runs()

    def test_modules_that_change_are_read_again(self):
        module = self.cluster.files / "m_changing.py"
        job = "taskd: 1\ntasks:\n- {name: t, python: {call: 'm_changing:f', path: '%s'}, out: [o]}\nwant: [t.o]\n" % self.cluster.files
        for value in (b"one", b"other"):
            module.write_text(f"def f(): return {value!r}\n")
            self.assertEqual(self.cluster.get(self.cluster.run_graph(job)[0], "t.o"), value)

    def test_cancel_runs_finally(self):
        job, pid = self.submit_hanging("hang")
        self.cluster.ctl("job", "cancel", job)
        self.cluster.wait(job, code=6)
        until(lambda: not alive(pid), "the function's process has ended")
        self.assertEqual(self.cluster.ctl("task", "logs", job, "h", "--stdout").text, "cleaned up\n")
        self.assert_still_runs()

    def test_time_limit(self):
        job, _ = self.submit_hanging("hang", ", time_limit: 500ms")
        self.assertEqual(self.failure(job, "h")["failure"], "timeout")


class LostWorkerTest(NativeCase):
    WORKERS = 1

    def test_worker_that_is_killed_takes_its_functions_along(self):
        _, pid = self.submit_hanging("hang")
        self.cluster.kill("worker-1")
        until(lambda: not alive(pid), "the function's process has ended")


if __name__ == "__main__":
    unittest.main()
