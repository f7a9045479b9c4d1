"""What a Python function may ask of taskd while it runs as a task: `import taskd` inside of it.

    import taskd

    def fib(n):
        if n < 2:
            return n
        a, b = taskd.spawn(fib, n - 1), taskd.spawn(fib, n - 2)
        return sum(taskd.get([a, b]))          # other tasks have the cpu meanwhile

    def fib_by_tail(n):
        if n < 2:
            return n
        return taskd.spawn(add, taskd.spawn(fib_by_tail, n - 1), taskd.spawn(fib_by_tail, n - 2))

spawn() makes a task that calls a function, and returns a Ref to what it will return. What a function has spawned starts
when it first waits; without a wait, when it has returned and the return was accepted. A Ref that is an argument of a spawned call is an input
of that task; a Ref that is returned stands for its value: nothing waits, and nothing is copied. put() makes a Ref of a
value, for what many spawned calls are to read: each worker fetches it once.

Standard library only, Python 3.9 or later.
"""

import importlib
import pickle
import re
import struct

__all__ = ["Ref", "Submitted", "TaskError", "spawn", "put", "get", "wait", "submit", "delegate"]

_BATCH_TASKS = 60_000               # below limits::kTasksPerBatch
_BATCH_BYTES = 4 << 20              # of arguments in a batch
_CALL_BYTES = 1 << 20               # of one call
_CPUS_MILLI = 1000
_COLLECTION = 0x80000000
CALL = "taskd.call"                 # the value that holds the arguments of a spawned call

_session = None                     # of the task that runs; set by the runner
interpreter = ""                    # that the task's body names; what it spawns runs there, too


class TaskError(Exception):
    """taskd refused, or what was waited for will never be."""


class Ref:
    """An object: what a task made, or will make. `job` is None for what the running task submits."""

    __slots__ = ("job", "ordinal", "_of")

    def __init__(self, job, ordinal, _of=None):
        self.job, self.ordinal, self._of = job, ordinal, _of

    def __repr__(self):
        return f"<taskd.Ref {self.job if self.job is not None else 'of this task'}:{self.ordinal}>"

    def __reduce__(self):
        place = (self.job, self.ordinal) if self._of is None else self._of.place(self.ordinal)
        if place is None:
            raise TypeError("a Ref to what has not started yet cannot be part of a value: pass it to spawn() as an argument of its own, "
                            "or return it")
        return Ref, place


class Submitted(int):
    """The number of the job of a graph that was submitted early; [n] is the Ref of the graph's object n."""

    first = 0

    def __getitem__(self, n):
        return Ref(int(self), self.first + n)


def spawn(function, *args, **kwargs):
    """A task that calls function(*args, **kwargs) on one cpu. Arguments are pickled; those that are Refs arrive as values."""
    return _current().spawn(function, args, kwargs)


def put(value):
    """A Ref of the value. It is there while the task runs, and whatever reads it; it is lost with its last copy, and not made again."""
    return _current().put(value)


def get(refs):
    """The value of a Ref, or a list of those of many; waits for them. TaskError: one of them will never be."""
    return _current().get(refs)


def wait(refs):
    """Until each of the Refs is there, or never will be. Other tasks have this one's cpus meanwhile."""
    session = _current()
    session.wait([refs] if isinstance(refs, Ref) else list(refs))


def submit(graph, early=False):
    """Submits the content of a .tgraph file. Early: now, and the result is Submitted. Else when this task has succeeded, and the result is
    None."""
    return _current().submit(graph, early)


def delegate(output, ref):
    """The task does not make this output (its name, or number): it is a Ref to what the task spawns or submits, or the number of an object of
    the graph that it submitted last."""
    _current().delegate(output, ref)


def _current():
    if _session is None:
        raise TaskError("this is not inside of a task of taskd")
    return _session


# Protocol Buffers, as much as a GraphBatch needs.


def _varint(n):
    out = b""
    while n > 0x7F:
        out += bytes((n & 0x7F | 0x80,))
        n >>= 7
    return out + bytes((n,))


def _bytes(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field, text):
    return _bytes(field, text.encode())


def _fixed32(field, n):
    return _varint(field << 3 | 5) + struct.pack("<I", n)


def _column(field, numbers):
    return _bytes(field, struct.pack(f"<{len(numbers)}I", *numbers)) if any(numbers) else b""


def _zstd(data):
    """A frame of stored blocks: arguments are small, and a compressor is not in the standard library."""
    out = [struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data))]
    step = 128 << 10
    for at in range(0, max(len(data), 1), step):
        block = data[at:at + step]
        head = len(block) << 3 | (at + step >= len(data))
        out += [struct.pack("<I", head)[:3], block]
    return b"".join(out)


def _frames_of(graph):
    """The batches of a .tgraph file."""
    view = memoryview(graph)
    if bytes(view[:8]) != b"\x89TGRAPH\n":
        raise TaskError("this is not the content of a .tgraph file: make one with `taskctl graph compile`")
    at, frames = 12, []
    while True:
        size = struct.unpack_from("<I", view, at)[0] if at + 8 <= len(view) else len(view)
        if size == 0:
            return frames
        if at + 8 + size > len(view):
            raise TaskError("the graph is cut off")
        frames.append(bytes(view[at + 8:at + 8 + size]))
        at += 8 + size


class _Slot:
    """In pickled arguments: the value of input `index`."""

    def __init__(self, index):
        self.index = index


def _name_of(function):
    """(module, name) of a function that can be imported; None: it must be pickled."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return (module, name) if found is function else None


def _pickle_function(function):
    try:
        return pickle.dumps(function, protocol=5)
    except Exception as e:
        try:
            cloudpickle = importlib.import_module("cloudpickle")
        except ImportError:
            raise TypeError(f"cannot send {function!r}: {e}. Define it at the top of a module, or install cloudpickle") from None
        return cloudpickle.dumps(function, protocol=5)


class Child:
    """What the running task submits by spawn(): batches of one graph. `job` is known once it has started, and then where in it the objects of
    each batch are."""

    def __init__(self):
        self.job, self.batches, self.objects, self.templates = None, 0, 0, 0
        self.bodies, self.collections = {}, {}
        self.starts = []                  # of batches that have started: (first object of the graph, the same in the job)

    def place(self, ordinal):
        """(job, object); None: it has not started."""
        for first, end, in_job in reversed(self.starts):
            if first <= ordinal < end:
                return self.job, ordinal - first + in_job
        return None


class Session:
    """Of one task, in its runner. `ask(kind, payload)` sends a request and returns ((job, object), view); `dump_put(value)` is what a put asks
    for."""

    SUBMIT, AWAIT, GET, DELEGATE, PUT = 32, 33, 34, 35, 36

    def __init__(self, task, ask, tell, load, dump_put):
        self.task, self.ask, self.tell, self.load, self.dump_put = task, ask, tell, load, dump_put
        self.child, self.waiting = Child(), []
        self.job = None                         # of all that it has submitted early
        self.graphs, self.last_first = 1, 0     # graph 0 is the child's
        self.delegated = set()

    # Spawning

    def spawn(self, function, args, kwargs):
        refs = []

        def take(value):
            if not isinstance(value, Ref):
                return value
            refs.append(self._source(value))
            return _Slot(len(refs) - 1)

        call = pickle.dumps(([take(a) for a in args], {k: take(v) for k, v in kwargs.items()}), protocol=5)
        if len(call) > _CALL_BYTES:
            raise TaskError(f"the arguments of a call take {len(call)} bytes, and at most {_CALL_BYTES} are sent: put() the large "
                            "one, and pass its Ref")
        ref = Ref(None, self.child.objects, self.child)
        self.child.objects += 1
        self.waiting.append((function, refs, call))
        return ref

    def _source(self, ref):
        """Of an edge: an object of the child, or (job, ordinal)."""
        if ref._of is self.child:
            return ref.ordinal
        place = (ref.job, ref.ordinal) if ref._of is None else ref._of.place(ref.ordinal)
        if place is None:
            raise TaskError(f"{ref!r} is of a task that has ended")
        return place

    def flush(self, early):
        """Submits what was spawned."""
        tasks, self.waiting = self.waiting, []
        begin = 0
        while begin < len(tasks):
            end, size = begin, 0
            while end < len(tasks) and end - begin < _BATCH_TASKS and size < _BATCH_BYTES:
                size += len(tasks[end][2])
                end += 1
            in_job = self._submit(0, _zstd(self._batch(tasks[begin:end])), early)
            self.child.batches += 1
            if early:
                first = self.child.objects - len(tasks)
                self.child.job = self.job
                self.child.starts.append((first + begin, first + end, in_job))
            begin = end

    def end(self):
        """The function has returned: what it spawned since it last waited, if it ever did, starts with its success."""
        self.flush(self.job is not None)

    def _submit(self, graph, frame, early):
        """The number of its first object in the job."""
        (job, first), _ = self.ask(self.SUBMIT, struct.pack("<BII", early, graph, len(frame)) + frame)
        if early:
            self.job = job
        return first

    def _batch(self, tasks):
        """A serialized GraphBatch."""
        child = self.child
        out = [_fixed32(1, child.batches)]
        if child.batches == 0:
            out += [_bytes(3, _bytes(1, _fixed32(1, _CPUS_MILLI))), _bytes(4, b"")]
        bodies, counts, sources, args, templates, rows, runs = [], [], [], [], {}, {}, []
        for function, refs, call in tasks:
            body, name = self._body(function, len(refs), out)
            bodies.append(body)
            counts.append(len(refs))
            sources += [self._collection(ref, out) if isinstance(ref, tuple) else ref for ref in refs]
            args.append(_bytes(1, _text(1, CALL) + _bytes(2, call)))
            index = templates.setdefault(name, child.templates + len(templates))
            row = rows[index] = rows.get(index, -1) + 1
            if runs and runs[-1][0] == index:
                runs[-1][2] += 1
            else:
                runs.append([index, row, 1])
        for name, index in templates.items():
            count = rows[index] + 1
            axis = _text(1, "i") + _varint(4 << 3 | 1) + struct.pack("<q", 1) + _fixed32(5, count)
            out.append(_bytes(5, _text(1, f"{name}_{index}") + _bytes(2, axis) + _fixed32(4, count)))
        child.templates += len(templates)
        for index, first, count in runs:
            out.append(_bytes(7, _fixed32(1, index) + _fixed32(2, first) + _fixed32(3, count)))
        out += [_column(10, bodies), _column(14, counts)]
        if sources:
            out.append(_bytes(20, struct.pack(f"<{len(sources)}I", *sources)))
        out += [_bytes(30, b"".join(args)), _column(31, [len(a) for a in args])]
        return b"".join(out)

    def _body(self, function, inputs, out):
        """Its number in the child's table, where it may be added, and a name for its tasks."""
        name = _name_of(function)
        if name is not None:
            python = _text(1, name[0]) + _text(2, name[1])
        else:
            python = _bytes(3, _pickle_function(function))
        if self.task.path:
            python += _text(4, self.task.path)
        if interpreter:
            python += _text(5, interpreter)
        key = (python, inputs)
        if key not in self.child.bodies:
            slots = b"".join(_bytes(8, _text(1, f"a{i}")) for i in range(inputs))
            output = _bytes(9, _text(1, "v") + _varint(2 << 3) + _varint(3))
            out.append(_bytes(2, _bytes(4, python) + slots + output))
            self.child.bodies[key] = len(self.child.bodies)
        label = re.sub(r"\W", "_", getattr(function, "__name__", "call"), flags=re.ASCII) or "call"
        return self.child.bodies[key], label[:40]

    def _collection(self, ref, out):
        if ref not in self.child.collections:
            job, ordinal = ref
            out.append(_bytes(6, _fixed32(1, ordinal) + _fixed32(2, 1) + _fixed32(3, 1) + _fixed32(4, job)))
            self.child.collections[ref] = len(self.child.collections) | _COLLECTION
        return self.child.collections[ref]

    # Waiting

    def _place(self, ref):
        if not isinstance(ref, Ref):
            raise TypeError(f"a taskd.Ref is wanted, not {type(ref).__name__}")
        if ref._of is self.child:
            self.flush(True)
            return self.child.place(ref.ordinal)
        return self._source(ref)

    def wait(self, refs):
        places = [self._place(ref) for ref in refs]
        for begin in range(0, len(places), 65_536):       # limits::kAwaitObjects
            some = places[begin:begin + 65_536]
            self.ask(self.AWAIT, struct.pack("<I", len(some)) + b"".join(struct.pack("<II", *place) for place in some))

    def get(self, refs):
        many = not isinstance(refs, Ref)
        refs = list(refs) if many else [refs]
        places = [self._place(ref) for ref in refs]
        if len(places) > 1:
            self.wait(refs)
        values = [self.load(self.ask(self.GET, struct.pack("<II", *place))[1]) for place in places]
        return values if many else values[0]

    # Values, graphs, and the end

    def put(self, value):
        place, _ = self.ask(self.PUT, self.dump_put(value))
        self.job = place[0]
        return Ref(*place)

    def submit(self, graph, early):
        frames, number = _frames_of(graph), self.graphs
        self.graphs += 1
        firsts = [self._submit(number, frame, early) for frame in frames]
        self.last_first = firsts[0] if firsts else 0
        if not early or not firsts:
            return None
        submitted = Submitted(self.job)
        submitted.first = self.last_first
        return submitted

    def delegate(self, output, ref):
        names = self.task.outputs
        index = names.index(output) if output in names else output
        if not isinstance(index, int) or not 0 <= index < len(names):
            raise TaskError(f"the task has no output {output!r}; it has {', '.join(names)}")
        self.tell(self.DELEGATE, struct.pack("<II", index, self._ordinal(ref)))
        self.delegated.add(index)

    def _ordinal(self, ref):
        """In the job of all that the task submits."""
        if isinstance(ref, int):
            return self.last_first + ref
        if ref._of is self.child:
            self.flush(self.job is not None)
            place = self.child.place(ref.ordinal)
            return ref.ordinal if place is None else place[1]
        if self.job is None or ref.job != self.job:
            raise TaskError(f"{ref!r} is not of what this task submits: return its value")
        return ref.ordinal


def call_of(raw, inputs):
    """Arguments of a spawned call. `inputs`: by name."""
    args, kwargs = pickle.loads(raw)
    values = list(inputs.values())

    def fill(value):
        return values[value.index] if isinstance(value, _Slot) else value

    return [fill(a) for a in args], {k: fill(v) for k, v in kwargs.items()}

