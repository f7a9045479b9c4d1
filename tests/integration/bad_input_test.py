"""Everything that a user or a peer can get wrong: a clear error, the right exit code, and a cluster that goes on."""

import os
import re
import shutil
import socket
import unittest

from graphs import SHUFFLE, TOTAL
from harness import BIN, ClusterTest, TASKCTL, run

OK, TASK_FAILED, USAGE, NOT_FOUND, UNREACHABLE = 0, 1, 2, 3, 4

# name, graph, words of the message (of a tuple: one). All are refused before anything is submitted, exit code 2.
BAD_GRAPHS = [
    ("duplicate mapping key", """
taskd: 1
tasks:
- {name: a, sh: "true", sh: "false"}
""", ["graph.yaml:4", ("duplicate", "twice"), "sh"]),
    ("duplicate task name", """
taskd: 1
tasks:
- {name: a, sh: "true"}
- {name: a, sh: "true"}
""", ["graph.yaml:5", "'a'", ("duplicate", "twice", "two tasks")]),
    ("unknown input task", """
taskd: 1
tasks:
- {name: make, sh: "true", stdout: o}
- {name: b, in: {x: mkae.o}, sh: "true"}
""", ["graph.yaml:5", "mkae", "make"]),
    ("unknown output of a known task", """
taskd: 1
tasks:
- {name: a, sh: "true", stdout: words}
- {name: b, in: {x: a.wrods}, sh: "true"}
""", ["graph.yaml:5", "wrods", "words"]),
    ("index outside of the axis", """
taskd: 1
tasks:
- {name: a, over: {i: 0..3}, sh: "true", stdout: o}
- {name: b, in: {x: "a[4].o"}, sh: "true"}
""", ["graph.yaml:5", "4"]),
    ("cycle", """
taskd: 1
tasks:
- {name: a, in: {x: c.o}, sh: "true", stdout: o}
- {name: b, in: {x: a.o}, sh: "true", stdout: o}
- {name: c, in: {x: b.o}, sh: "true", stdout: o}
""", ["cycle", "a", "b", "c"]),
    ("text where a list belongs", """
taskd: 1
tasks: hello
""", ["graph.yaml:3", "tasks", "list"]),
    ("a list where a name belongs", """
taskd: 1
tasks:
- {name: [a, b], sh: "true"}
""", ["graph.yaml:4", "name"]),
    ("a time limit that is none", """
taskd: 1
tasks:
- {name: a, sh: "true", time_limit: soon}
""", ["graph.yaml:4", ("time_limit", "time limit"), "soon"]),
    ("unknown key", """
taskd: 1
tasks:
- {name: a, sh: "true", retries: 3}
""", ["graph.yaml:4", "retries", "retry"]),
    ("unquoted braces", """
taskd: 1
tasks:
- {name: a, over: {i: 0..3}, sh: "true", stdout: o}
- {name: b, over: {i: 0..3}, in: {x: a[{i}].o}, sh: "true"}
""", ["graph.yaml:5", "quote"]),
    ("no tasks", "taskd: 1\ntasks: []\n", ["graph.yaml", ("empty", "no task")]),
    ("empty file", "", ["graph.yaml", ("empty", "no task")]),
    ("not YAML", "taskd: 1\ntasks: [\n", ["graph.yaml:"]),
    ("another version of the language", "taskd: 2\ntasks:\n- {name: a, sh: 'true'}\n", ["graph.yaml:1", "2"]),
    ("no body", "taskd: 1\ntasks:\n- {name: a}\n", ["graph.yaml:3", "sh", "argv"]),
    ("a glob without files", """
taskd: 1
tasks:
- {name: a, over: {f: {glob: /nonexistent/*.txt}}, sh: "true"}
""", ["graph.yaml:4", "/nonexistent/*.txt"]),
    ("a path input that is not there", """
taskd: 1
tasks:
- {name: a, in: {f: {path: /nonexistent/mesh.h5}}, sh: "true", stdout: o}
want: [a.o]
""", ["/nonexistent/mesh.h5"]),
    ("not there yet", """
taskd: 1
tasks:
- {name: a, over: {i: 0..3}, sh: "true", stdout: o}
- {name: b, in: {x: "a[*].o"}, tree: 32, sh: "true", stdout: o}
""", ["graph.yaml:5", "tree", "not supported yet"]),
    ("a want that does not exist", """
taskd: 1
tasks:
- {name: a, sh: "true", stdout: o}
want: [b.o]
""", ["graph.yaml:5", "b"]),
]

# name, graph, words. They run and fail, exit code 1.
FAILING_GRAPHS = [
    ("an output that was not written", """
taskd: 1
tasks:
- {name: forgetful, sh: "true", out: {csv: result.csv}}
want: [forgetful.csv]
""", ["forgetful", "result.csv"]),
    ("a program that does not exist", """
taskd: 1
tasks:
- {name: lost, argv: [/nonexistent/program, 1], stdout: o}
want: [lost.o]
""", ["lost", "/nonexistent/program"]),
    ("a program that may not be run", """
taskd: 1
tasks:
- {name: locked, argv: [/etc/passwd], stdout: o}
want: [locked.o]
""", ["locked", "/etc/passwd"]),
    ("killed by a signal", """
taskd: 1
tasks:
- {name: suicide, sh: "kill -SEGV $$", stdout: o}
want: [suicide.o]
""", ["suicide", ("signal", "segv")]),
]


class BadInputTest(ClusterTest):
    WORKERS = 2

    def tearDown(self):
        self.assert_daemons_alive()

    def test_bad_graphs(self):
        jobs = len(self.cluster.json("job", "list")["jobs"])
        for name, text, words in BAD_GRAPHS:
            with self.subTest(name):
                path = self.cluster.graph(text)
                self.assert_says(self.cluster.ctl("run", path, code=USAGE), *words)
                self.assert_says(self.cluster.ctl("submit", path, code=USAGE), *words)
        self.assertEqual(len(self.cluster.json("job", "list")["jobs"]), jobs, "a bad graph was taken")

    def test_bad_graphs_without_a_cluster(self):
        for name, text, words in BAD_GRAPHS:
            if "path input" in name:
                continue                              # looked for when it is submitted, not before
            with self.subTest(name):
                result = run([TASKCTL, "--dir", "/nonexistent", "graph", "validate", self.cluster.graph(text)])
                self.assertEqual(result.code, USAGE, result)
                self.assert_says(result, *words)

    def test_stderr_that_is_no_text(self):
        job = self.cluster.submit("taskd: 1\ntasks:\n- {name: t, sh: \"printf 'bad \\\\377 byte' >&2; exit 1\", retry: 0}\n")
        self.cluster.wait(job, code=1)
        self.assertIn("its stderr ends:\nbad \\xff byte", self.cluster.json("task", "explain", job, "t")["failure"]["message"])

    def test_cycle_is_printed(self):
        text = next(text for name, text, _ in BAD_GRAPHS if name == "cycle")
        result = self.cluster.ctl("graph", "validate", self.cluster.graph(text), code=USAGE)
        self.assertRegex(result.text + result.error, r"(a\W+b\W+c\W+a|b\W+c\W+a\W+b|c\W+a\W+b\W+c|a\W+c\W+b\W+a|c\W+b\W+a\W+c|b\W+a\W+c\W+b)")

    def test_failing_graphs(self):
        for name, text, words in FAILING_GRAPHS:
            with self.subTest(name):
                _, result = self.cluster.run_graph(text, code=TASK_FAILED)
                self.assert_says(result, *words)

    def test_missing_graph_file(self):
        for verb in (["run"], ["submit"], ["graph", "validate"], ["graph", "compile"], ["graph", "stats"]):
            with self.subTest(verb):
                result = self.cluster.ctl(*verb, "/nonexistent/graph.yaml", *(["-O", os.devnull] if "compile" in verb else []),
                                          code=USAGE)
                self.assert_says(result, "/nonexistent/graph.yaml", ("no such file", "not there", "does not exist"))

    def test_damaged_tgraph(self):
        whole = self.cluster.files / "whole.tgraph"
        self.cluster.ctl("graph", "compile", self.cluster.graph(SHUFFLE % ":"), "-O", whole)
        data = whole.read_bytes()
        self.assertEqual(self.cluster.get(self.cluster.run_file(whole), "total.n"), b"%d\n" % TOTAL)
        jobs = len(self.cluster.json("job", "list")["jobs"])
        for at in sorted({0, 1, 7, len(data) // 4, len(data) // 2, len(data) - 5, len(data) - 1}):
            for name, bytes_ in (("truncated", data[:at]), ("damaged", data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:])):
                with self.subTest(name, at=at, of=len(data)):
                    path = self.cluster.files / "bad.tgraph"
                    path.write_bytes(bytes_)
                    self.assert_says(self.cluster.ctl("run", path, code=USAGE), "bad.tgraph")
                    self.assert_says(self.cluster.ctl("graph", "validate", path, code=USAGE), "bad.tgraph")
        self.assertEqual(len(self.cluster.json("job", "list")["jobs"]), jobs, "a damaged graph left a job")

    def test_what_does_not_exist(self):
        job, _ = self.cluster.run_graph('taskd: 1\ntasks:\n- {name: a, sh: "echo 1", stdout: o}\nwant: [a.o]\n')
        for args in (["job", "show", "999999"], ["job", "cancel", "999999"], ["job", "wait", "999999"],
                     ["task", "show", job, "nosuch"], ["task", "explain", job, "nosuch"], ["task", "logs", job, "nosuch"],
                     ["object", "get", job, "a.nosuch"], ["object", "get", job, "nosuch.o"], ["object", "get", "999999", "a.o"],
                     ["worker", "drain", "nosuch"]):
            with self.subTest(args):
                self.assert_says(self.cluster.ctl(*args, code=NOT_FOUND), ("nosuch", "999999"))

    def test_wrong_arguments(self):
        for args, words in ((["jbo", "list"], ["jbo", "job"]), (["job", "lsit"], ["lsit", "list"]), ([], ["verb"]),
                            (["job", "list", "--sate", "x"], ["--sate"]), (["job", "show"], []),
                            (["job", "show", "abc"], ["abc"]), (["job", "wait", "1", "--timeout", "soon"], ["soon"]),
                            (["cluster", "start", "--workers", "0"], ["workers"]),
                            (["cluster", "start", "--workers", "2", "--pin"], ["--pin", "--workers 1"]), (["-o", "xml", "job", "list"], ["xml"])):
            with self.subTest(args):
                self.assert_says(self.cluster.ctl(*args, code=USAGE), "taskctl", *words)

    def test_bad_ranges(self):
        job, _ = self.cluster.run_graph(SHUFFLE % ":")
        for args in (["cut[3].p", "--range", "5-2"], ["cut[3].p", "--range", "x"], ["cut[3].p", "--range", "100000-"],
                     ["cut[3].p[4]"], ["total.n[0]"]):
            with self.subTest(args):
                result = self.cluster.ctl_any("object", "get", job, *args)
                self.assertIn(result.code, (USAGE, NOT_FOUND), result)
                self.assertEqual(result.out, b"")
                self.assertNotEqual(result.err, b"")

    def test_no_cluster(self):
        path = self.cluster.graph(SHUFFLE % ":")
        for args in (["job", "list"], ["run", path], ["submit", path], ["worker", "list"], ["cluster", "status"],
                     ["object", "get", "1", "a.o"]):
            with self.subTest(args):
                result = run([TASKCTL, "--dir", self.cluster.files, *args])
                self.assertEqual(result.code, UNREACHABLE, result)
                self.assert_says(result, str(self.cluster.files), "cluster start")

    def other_access(self, **changes):
        """A folder with an access file like the cluster's, with some values replaced."""
        folder = self.cluster.files / "other"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        text = (self.cluster.dir / "access.yaml").read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        with open(os.open(folder / "access.yaml", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
        return folder

    def test_unreachable_scheduler(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            nobody = "127.0.0.1:%d" % server.getsockname()[1]
        folder = self.other_access(**{self.cluster.scheduler_address(): nobody})
        for args in (["job", "list"], ["run", self.cluster.graph(SHUFFLE % ":")], ["cluster", "status"]):
            with self.subTest(args):
                result = run([TASKCTL, "--dir", folder, *args])
                self.assertEqual(result.code, UNREACHABLE, result)
                self.assert_says(result, nobody)

    def test_wrong_key(self):
        key = self.cluster.key()
        folder = self.other_access(**{key: key[:-4] + ("0000" if not key.endswith("0000") else "1111")})
        for args in (["job", "list"], ["run", self.cluster.graph(SHUFFLE % ":")], ["job", "cancel", "1"], ["object", "get", "1", "a.o"]):
            with self.subTest(args):
                result = run([TASKCTL, "--dir", folder, *args])
                self.assertEqual(result.code, UNREACHABLE, result)
                self.assert_says(result, "key")

    def test_open_access_file(self):
        folder = self.other_access()
        (folder / "access.yaml").chmod(0o644)
        result = run([TASKCTL, "--dir", folder, "job", "list"])
        self.assertEqual(result.code, UNREACHABLE, result)
        self.assert_says(result, "access.yaml", "600")

    def test_taken_port(self):
        address = self.cluster.scheduler_address()
        folder = self.cluster.files / "second"
        for program, flag in (("taskd-scheduler", "--listen"), ("taskd-worker", "--listen")):
            with self.subTest(program):
                where = folder if program == "taskd-scheduler" else self.cluster.dir
                more = [] if program == "taskd-scheduler" else ["--name", "late", "--work-dir", folder / "work"]
                result = run([BIN / program, "--dir", where, flag, address, *more])
                self.assertNotEqual(result.code, 0, result)
                self.assert_says(result, address, ("in use", "taken", "already"))

    def test_bad_flags_and_config_of_daemons(self):
        config = self.cluster.files / "config.yaml"
        for program in ("taskd-scheduler", "taskd-worker"):
            for text, words in (("lisen: 127.0.0.1:0\n", ["lisen", "listen"]), ("listen: [\n", ["config.yaml"])):
                with self.subTest(program, text=text):
                    config.write_text(text)
                    result = run([BIN / program, "--config", config])
                    self.assertEqual(result.code, USAGE, result)
                    self.assert_says(result, *words)
            result = run([BIN / program, "--lisen", "127.0.0.1:0"])
            self.assertEqual(result.code, USAGE, result)
            self.assert_says(result, "lisen", "listen")

    def test_wrong_protocol_version(self):
        for session, key in (("worker", "worker_key"), ("client", "client_key")):
            with self.subTest(session):
                result = run([BIN / "taskd_old_peer", session, self.cluster.scheduler_address(), self.cluster.access()[key]])
                self.assertEqual(result.code, 0, result)
                self.assertTrue(re.search(r"refused: .*protocol.*\b(1|99)\b", result.text), result)

    def test_zz_and_then_it_still_works(self):
        job, _ = self.cluster.run_graph(SHUFFLE % ":")
        self.assertEqual(self.cluster.get(job, "total.n"), b"%d\n" % TOTAL)
        self.assertEqual(self.cluster.status()["workers_lost"], 0)


if __name__ == "__main__":
    unittest.main()
