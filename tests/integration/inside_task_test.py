"""What tasks ask for while they run: they submit graphs, wait with their cpus free for others, read, and delegate."""

import importlib.util
import json
import os
import pathlib
import pickle
import shutil
import signal
import textwrap
import unittest

from harness import BIN, Cluster, ClusterTest, Gate, alive, run, until

CTL = BIN / "taskctl"
ROOT = pathlib.Path(__file__).resolve().parents[2]


class InsideTest(ClusterTest):
    """One cpu in the whole cluster: who waits without giving it away waits for ever."""

    WORKERS = 1
    CPUS = 1

    def write(self, name, text):
        path = self.cluster.files / f"{self.id().rsplit('.', 1)[1]}-{name}"
        path.write_text(textwrap.dedent(text))
        return path

    def compiled(self, more):
        """A .tgraph file: objects 0 to 3 are the digits from 1 on, 4 is all of them and what `more` adds."""
        yaml = self.write("g.yaml", f"""\
            taskd: 1
            tasks:
            - {{name: a, over: {{i: 1..4}}, sh: 'printf $i > o', out: {{o: o}}}}
            - name: b
              in: {{x: "a[*].o"}}
              sh: |
                cat "$in_x"/* > o{more}
              out: {{o: o}}
            """)
        tgraph = yaml.with_suffix(".tgraph")
        self.cluster.ctl("graph", "compile", yaml, "-O", tgraph)
        return tgraph


class CommandTest(InsideTest):
    def square_graph(self):
        return self.write("squares.yaml", """\
            taskd: 1
            vars: {n: 4}
            tasks:
            - {name: sq, over: {i: "1..{n}"}, sh: 'echo $((i * i)) > o', out: {o: o}}
            - {name: sum, in: {x: "sq[*].o"}, sh: "cat \\"$in_x\\"/* | awk '{s += $1} END {print s}' > o", out: {o: o}}
            """)

    def test_run_gives_the_cpu_to_what_it_waits_for(self):
        graph = self.square_graph()
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- name: parent
  sh: |
    child=$('{CTL}' run -q '{graph}' -D n=5)
    '{CTL}' object get $child sum.o > o
  out: {{o: o}}
want: [parent.o]
""")
        self.assertEqual(self.cluster.get(job, "parent.o"), b"55\n")
        told = self.cluster.job(job)
        self.assertEqual((told["done"], told["children"]), (7, 1))
        listed = [j["job"] for j in self.cluster.json("job", "list")["jobs"]]
        self.assertIn(job, listed)
        below = [j for j in self.cluster.json("job", "list", "--children")["jobs"] if j["job"] == job + 1]
        self.assertEqual([(j["name"], j["parent_key"], j["state"], j["total"]) for j in below], [("graph/parent", "parent", "done", 6)])
        self.assertNotIn(below[0]["job"], listed)

    def test_a_held_graph_starts_with_the_success_of_its_task(self):
        graph, mark = self.square_graph(), self.write("mark", "")
        parent = f"""
taskd: 1
tasks:
- name: parent
  retry: 1
  sh: |
    '{CTL}' submit '{graph}' --delegate o=sum.o
    test -s '{mark}' || {{ echo x > '{mark}'; exit 1; }}
  out: {{o: o}}
- {{name: reader, in: {{x: parent.o}}, sh: 'cat "$in_x" "$in_x" > o', out: {{o: o}}}}
want: [reader.o, parent.o]
"""
        job, _ = self.cluster.run_graph(parent)
        self.assertEqual(self.cluster.get(job, "reader.o"), b"30\n30\n")
        self.assertEqual(self.cluster.get(job, "parent.o"), b"30\n")  # of the object behind it
        told = self.cluster.job(job)
        self.assertEqual((told["retried"], told["done"]), (1, 7))   # the first try's graph is gone

    def test_what_is_submitted_early_goes_with_a_try_that_fails(self):
        graph = self.write("g.yaml", "taskd: 1\ntasks:\n- {name: s, over: {i: 1..50}, builtin: {name: sleep, for: 10s}, out: [v]}\n")
        job, result = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: parent, retry: 0, sh: "'{CTL}' submit -q --early '{graph}' > /dev/null && exit 7"}}
""", code=1)
        told = self.cluster.job(job)
        self.assertEqual((told["total"], told["failed"]), (1, 1))
        until(lambda: all(w["running"] == 0 for w in self.cluster.worker_list().values()), "nothing of it runs any more")

    def test_await_and_delegation_by_name(self):
        graph = self.square_graph()
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- name: parent
  sh: |
    child=$('{CTL}' submit -q --early '{graph}')
    '{CTL}' object await $child 'sq[2].o' 'sq[4].o'
    '{CTL}' object get $child 'sq[4].o' > o
  out: {{o: o}}
want: [parent.o]
""")
        self.assertEqual(self.cluster.get(job, "parent.o"), b"16\n")

    def reader_graph(self):
        return self.write("reader.yaml", """
taskd: 1
vars: {ref: ''}
tasks:
- {name: r, in: {x: {object: '{ref}'}}, sh: 'wc -c < "$in_x" > n', out: {n: n}}
want: [r.n]
""")

    def test_what_is_put_is_read_by_graphs(self):
        """Several graphs, with puts between them; the task's only cpu is its own."""
        graph, reader = self.square_graph(), self.reader_graph()
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- name: parent
  sh: |
    set -e
    child=$('{CTL}' submit -q --early '{graph}')
    head -c 300000 /dev/zero > big
    ref=$('{CTL}' object put -q data=big)
    rm big
    '{CTL}' submit -q --early '{reader}' -D ref=$ref --delegate o=r.n
    other=$(echo hello | '{CTL}' object put -q -)
    '{CTL}' object await $child sum.o
    '{CTL}' object get $child stdin.v > p
    '{CTL}' object list $child -o json > q
  out: {{o: o, p: p, q: q}}
want: [parent.o, parent.p, parent.q]
""")
        self.assertEqual(self.cluster.get(job, "parent.o"), b"300000\n")
        self.assertEqual(self.cluster.get(job, "parent.p"), b"hello\n")
        names = [o["name"] for o in json.loads(self.cluster.get(job, "parent.q"))["objects"]]
        self.assertEqual(names[-3:], ["data.v", "r.n", "stdin.v"])
        told = self.cluster.job(job)
        self.assertEqual((told["failed"], told["children"]), (0, 1))

    def test_mistakes_are_told(self):
        graph, bad = self.square_graph(), self.write("bad.yaml", "taskd: 1\ntasks:\n- {name: a, sh: true, in: {x: nowhere.o}}\n")
        quiet = self.write("quiet.yaml", "taskd: 1\ntasks:\n- {name: a, sh: 'true'}\n")
        for words, text in (
                (f"submit '{graph}' --delegate p=sum.o", "the task has no output 'p'; it has o"),
                (f"submit '{graph}' --delegate o=sum", "name one whole object"),
                (f"submit '{graph}' --delegate o", "write it like --delegate OUTPUT="),
                (f"submit '{graph}' --name x", "leave these flags out, or give --outside"),
                (f"submit '{bad}'", "nowhere"),
                (f"run '{quiet}'", "task a has no output"),
                (f"submit '{graph}' && '{CTL}' submit --early '{graph}'", "a task submits either early or held"),
                (f"submit '{graph}' && '{CTL}' submit '{graph}'", "a task holds one graph until its end"),
                (f"submit '{graph}' && '{CTL}' object put o", "a task that puts submits early"),
                ("object put nothing-there", "No such file"),
                ("object put .", "is a folder"),
                (f"object put a=o && '{CTL}' object put a=o", "two templates"),
                ("object put o --worker w1", "leave these flags out, or give --outside"),
                ("submit --early '{graph}' -D ref=77:0".format(graph=self.reader_graph()), "there is no job 77"),
                ("job wait $('{CTL}' submit -q --early '{graph}')".format(CTL=CTL, graph=graph), "is of this very task"),
        ):
            with self.subTest(words):
                _, result = self.cluster.run_graph(
                    f"taskd: 1\ntasks:\n- {{name: parent, retry: 0, out: {{o: o}}, sh: \"echo > o; '{CTL}' {words}\"}}\n", code=1)
                explained = self.cluster.json("task", "explain", self.cluster.last_job(), "parent")
                self.assertIn(text, explained["failure"]["message"])
        outside = self.cluster.ctl("submit", graph, "--early", code=2)
        self.assert_says(outside, "this is not inside of one")

    def test_a_job_of_its_own(self):
        graph = self.square_graph()
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: parent, sh: "'{CTL}' submit -q --outside '{graph}' > o", out: {{o: o}}}}
want: [parent.o]
""")
        self.cluster.wait(job)
        other = int(self.cluster.get(job, "parent.o"))
        self.cluster.wait(other)
        self.assertEqual((self.cluster.job(job)["children"], self.cluster.job(other)["parent"]), (0, None))

    def test_a_stale_token_is_refused(self):
        env_file = self.write("env", "")
        self.cluster.run_graph(f"taskd: 1\ntasks:\n- {{name: a, sh: 'env | grep ^TASKD_ > \"{env_file}\"'}}\n")
        env = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
        result = run([CTL, "submit", self.square_graph()], env={**os.environ, **env})
        self.assertEqual(result.code, 3)
        self.assert_says(result, "there is no running task with this token")


PYTHON = """\
import sys
import taskd

def add(a, b):
    return a + b

def fib(n):
    if n < 2:
        return n
    return sum(taskd.get([taskd.spawn(fib, n - 1), taskd.spawn(fib, n - 2)]))

def fib_by_tail(n):
    if n < 2:
        return n
    return taskd.spawn(add, taskd.spawn(fib_by_tail, n - 1), taskd.spawn(fib_by_tail, n - 2))

def wide(n):
    refs = [taskd.spawn(scaled, i, k=3) for i in range(int(n))]
    return sum(taskd.get(refs))

def scaled(x, k):
    return x * k

def where():
    return sys.executable.encode()

def there():
    return taskd.spawn(where)

def unnamed():
    return taskd.spawn(lambda: 5)

def start(what, n):
    return globals()[what](int(n))

def fails():
    raise ValueError("no such luck")

def catches():
    try:
        taskd.get(taskd.spawn(fails))
    except taskd.TaskError as e:
        return str(e).encode()

def large():
    import array
    return array.array("d", range(1_000_000))

def reads_large():
    value = taskd.get(taskd.spawn(large))
    return sum(value)

def graph(path, early):
    job = taskd.submit(open(path, "rb").read(), early == "1")
    if job is None:
        taskd.delegate("o", 4)
        return None
    return taskd.get(taskd.Ref(job, 4))

def puts(n):
    import array
    small, big = taskd.put({"a": 1}), taskd.put(array.array("d", range(100_000)))
    first = [taskd.spawn(both, small, big, i) for i in range(int(n))]
    one = taskd.get(first[0])
    late = taskd.put("late")
    more = taskd.spawn(both, taskd.spawn(first_of, [small]), big, late)
    assert taskd.get(late) == "late"
    assert taskd.get(more) == (1, 100_000, "late")
    return sum(n for _, n, _ in taskd.get(first)) + one[0]

def both(small, big, i):
    return small["a"], len(big), i

def first_of(refs):
    return taskd.get(refs[0])

def wrong(what):
    if what == "cut":
        taskd.submit(b"\\x89TGRAPH\\n" + bytes(6))
    ref = taskd.spawn(add, 1, 2)
    if what == "nested":
        taskd.spawn(add, [ref], [])
    if what == "huge":
        taskd.spawn(len, bytes(2 << 20))
    if what == "big":
        taskd.put(lambda: 0)
    if what == "held":
        taskd._session.flush(False)
        taskd.put(0)
    if what == "nobody":
        taskd.get(taskd.Ref(4_000_000, 0))
    return 0
"""


class PythonTest(InsideTest):
    def run_python(self, call, code=0, more="", **values):
        folder = self.cluster.files / "modules"
        folder.mkdir(exist_ok=True)
        (folder / "inside_mod.py").write_text(PYTHON)
        given = "".join(f", {k}: '{v}'" for k, v in values.items())
        return self.cluster.run_graph(f"""
taskd: 1
vars: {{none: ''{given}}}
tasks:
- {{name: f, retry: 0, python: {{call: 'inside_mod:{call}', path: '{folder}'{more}}}, out: [o]}}
want: [f.o]
""", code=code)

    def value(self, job):
        """An integer that a function returned, from its pickle."""
        raw = self.cluster.get(job, "f.o")
        if raw[:8] != b"TDPYOBJ1":
            return raw
        size = int.from_bytes(raw[8:16], "little")
        return pickle.loads(raw[24:24 + size])

    def test_recursion_on_one_cpu(self):
        job, _ = self.run_python("start", what="fib", n=6)
        self.assertEqual(self.value(job), 8)
        told = self.cluster.job(job)
        self.assertEqual((told["failed"], told["done"], told["children"]), (0, 25, 12))

    def test_delegation_by_return(self):
        job, _ = self.run_python("start", what="fib_by_tail", n=6)
        self.assertEqual(self.value(job), 8)

    def test_a_function_without_a_name(self):
        """Goes by cloudpickle, where that is installed; else the error says so."""
        there = importlib.util.find_spec("cloudpickle") is not None
        job, _ = self.run_python("unnamed", code=0 if there else 1)
        if there:
            self.assertEqual(self.value(job), 5)
        else:
            self.assertIn("install cloudpickle", self.cluster.json("task", "explain", job, "f")["failure"]["message"])

    def test_many_at_once(self):
        job, _ = self.run_python("wide", n=1000)
        self.assertEqual(self.value(job), 3 * 1000 * 999 // 2)

    def test_a_failed_child_is_an_exception(self):
        job, _ = self.run_python("catches", code=1)      # of the job the child is a part, whoever goes on without it
        self.assertIn(b"fails_0[0] failed", self.value(job))

    def test_what_is_spawned_has_the_same_interpreter(self):
        python = self.cluster.files / "my-python"
        python.symlink_to(shutil.which("python3"))
        job, _ = self.run_python("there", more=f", interpreter: '{python}'")
        self.assertEqual(self.value(job).decode(), str(python))

    def test_large_values(self):
        job, _ = self.run_python("reads_large")
        self.assertEqual(self.value(job), float(sum(range(1_000_000))))

    def test_put(self):
        job, _ = self.run_python("puts", n=5)
        self.assertEqual(self.value(job), 500_001)
        told = self.cluster.job(job)
        self.assertEqual((told["failed"], told["done"]), (0, 1 + 3 + 5 + 2))

    def test_graphs_of_files(self):
        tgraph = self.compiled("")
        for early in (0, 1):
            job, _ = self.run_python("graph", path=tgraph, early=early)
            self.assertEqual(self.cluster.get(job, "f.o"), b"1234")

    def test_mistakes_are_told(self):
        for what, text in (("nested", "pass it to spawn() as an argument of its own"),
                           ("huge", "put() the large one"),
                           ("big", "pickle"),
                           ("held", "a task that puts submits early"),
                           ("cut", "the graph is cut off"),
                           ("nobody", "no job 4000000")):
            with self.subTest(what):
                job, _ = self.run_python("wrong", code=1, what=what)
                self.assertIn(text, self.cluster.json("task", "explain", job, "f")["failure"]["message"])


class SmallStoreTest(InsideTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(workers=1, cpus=1, store="128KiB")
        cls.addClassCleanup(cls.cluster.stop)

    def test_what_memory_has_no_room_for_is_put_on_disk(self):
        """One after the other, under the same name in the runner's folder."""
        (self.cluster.files / "small_store.py").write_text(
            "import taskd\n\ndef f():\n    refs = [taskd.put(bytes([i]) * 300_000) for i in range(3)]\n"
            "    return b''.join(bytes(taskd.get(ref))[:1] for ref in refs)\n")
        job, _ = self.cluster.run_graph(f"""
taskd: 1
tasks:
- {{name: f, retry: 0, python: {{call: 'small_store:f', path: '{self.cluster.files}'}}, out: [o]}}
want: [f.o]
""")
        self.assertEqual(self.cluster.get(job, "f.o"), b"\0\1\2")


class ExampleTest(ClusterTest):
    WORKERS = 2
    CPUS = 1

    def test_what_its_readme_says(self):
        folder = ROOT / "deploy/examples/inside-tasks"
        job = self.cluster.run_file(folder / "fib.yaml")
        self.assertEqual((self.cluster.get(job, "fib.v"), self.cluster.job(job)["done"]), (b"21", 67))
        docs = self.cluster.files / "docs"
        for name, files in (("a", 3), ("b", 1), ("z", 7)):
            (docs / name).mkdir(parents=True)
            for i in range(files):
                (docs / name / str(i)).touch()
        self.cluster.ctl("run", folder / "parts.yaml", "-D", f"folder={docs}")
        self.assertEqual(self.cluster.get("last", "count.files"), b"4\n")


class NativeTest(InsideTest):
    def run_native(self, function, code=0, **values):
        tgraph = self.compiled("; head -c 300000 /dev/zero | tr '\\0' z >> o")
        given = "".join(f", {k}: '{v}'" for k, v in values.items())
        return self.cluster.run_graph(f"""
taskd: 1
vars: {{graph: '{tgraph}'{given}}}
tasks:
- {{name: f, retry: 0, native: {{library: '{BIN / "test_ops.so"}', function: {function}}}, out: [o]}}
want: [f.o]
""", code=code)

    def test_submit_wait_and_get(self):
        job, _ = self.run_native("ask")
        self.assertEqual(self.cluster.get(job, "f.o"), b"1234" + b"z" * 300000)

    def test_put(self):
        job, _ = self.run_native("put_around")
        self.assertEqual(self.cluster.get(job, "f.o"), b"1234" + b"z" * 300000)

    def test_delegate(self):
        job, _ = self.run_native("hand_on")
        self.assertEqual(self.cluster.get(job, "f.o"), b"1234" + b"z" * 300000)

    def test_mistakes_are_told(self):
        job, _ = self.run_native("ask", code=1, bad="1")
        self.assertIn("not the content of a .tgraph file", self.cluster.json("task", "explain", job, "f")["failure"]["message"])


def gated_child(cluster, gate):
    """A graph of one task, `a`, that comes to the gate as `child`."""
    graph = cluster.files / "child.yaml"
    graph.write_text(f"taskd: 1\ntasks:\n- {{name: a, sh: '{gate.here('child')}; {gate.wait}; echo 7 > o', out: {{o: o}}}}\n")
    return graph


class LostParentTest(ClusterTest):
    WORKERS = 2

    def test_the_worker_of_a_waiting_parent_dies(self):
        """What it submitted goes with it; its next try does all again, elsewhere."""
        gate = Gate(self.cluster)
        graph = gated_child(self.cluster, gate)
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: parent, sh: '{gate.here("parent")}; child=$({CTL} run -q {graph}) && {CTL} object get $child a.o > o', out: {{o: o}}}}
want: [parent.o]
""")
        gate.await_come(2)
        name = self.cluster.json("task", "list", job)["tasks"][0]["worker"]
        first = gate.come()["parent"]
        self.cluster.kill(name)
        until(lambda: gate.come()["parent"] != first, "the parent runs again")
        gate.open()
        self.cluster.wait(job)
        self.assertEqual(self.cluster.get(job, "parent.o"), b"7\n")


class StopTest(ClusterTest):
    WORKERS = 1

    def test_a_worker_stops_in_order_while_its_tasks_wait(self):
        gate = Gate(self.cluster)
        graph = gated_child(self.cluster, gate)
        self.cluster.submit(f"taskd: 1\ntasks:\n- {{name: parent, sh: '{CTL} run {graph}'}}\n")
        gate.await_come(1)
        pid = self.cluster.pids()["worker-1"]
        self.cluster.kill("worker-1", signal.SIGTERM)
        until(lambda: not alive(pid), "the worker to stop")
        self.assertIn("] stopped", (self.cluster.dir / "local/worker-1.log").read_text())


class LostObjectTest(ClusterTest):
    def test_the_last_copy_of_what_a_function_gets_is_lost(self):
        """The holder dies between the child's end and the parent's get: the child runs again."""
        folder = self.cluster.files / "lost"
        folder.mkdir()
        gate = Gate(self.cluster)
        (folder / "lost_mod.py").write_text(f"""
import os, time, taskd

def where():
    return os.environ["TASKD_CPUS"] and os.getppid()

def parent():
    refs = [taskd.spawn(where) for _ in range(8)]
    taskd.wait(refs)
    os.system({gate.here("ready")!r})
    os.system({gate.wait!r})
    return len(set(taskd.get(refs)))
""")
        job = self.cluster.submit(f"""
taskd: 1
tasks:
- {{name: parent, python: {{call: 'lost_mod:parent', path: '{folder}'}}, out: [o]}}
want: [parent.o]
""")
        gate.await_come(1)
        mine = self.cluster.json("task", "list", job)["tasks"][0]["worker"]
        for name in self.cluster.pids():
            if name not in (mine, "scheduler"):
                self.cluster.kill(name)
        gate.open()
        self.cluster.wait(job)


if __name__ == "__main__":
    unittest.main()
