"""Runs Python functions for a worker, one task at a time, until the worker closes the socket (descriptor 3).

Started by taskd-worker, never by hand. Needs nothing but the standard library of Python 3.9 or later. The frames are those
of frames.h, the format of objects is described in the README beside this file.
"""

import faulthandler
import importlib
import inspect
import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import traceback

if sys.version_info >= (3, 9):       # main() says so of older ones
    import taskd

SOCKET = 3
VERSION = 1
FILES, TASK, ANSWER = 1, 2, 48
HELLO, DONE, FAILED = 16, 18, 19
ERROR_FAILED, ERROR_CANNOT_START, ERROR_OUTPUT_MISSING, ERROR_STORE = 1, 2, 4, 5
FRAME_BYTES = 32 << 20              # limits::kRunnerFrameBytes
FILES_PER_FRAME = 128               # limits::kRunnerFilesPerFrame
VALUE_BYTES = 64 << 10              # limits::kHeapObjectBytes: a larger output is a file
INLINE_BYTES = 256 << 10            # limits::kRunnerInlineBytes
MESSAGE_BYTES = 6 << 10             # of an exception with its traceback
EXCEPTION_BYTES = 4096              # limits::kExceptionBytes

MAGIC = b"TDPYOBJ1"
ALIGNMENT = 64
IN_BAND_BYTES = 1024                # a smaller buffer stays in the pickle


class TaskFailure(Exception):
    """What the worker is told instead of outputs."""

    def __init__(self, error, message, code=1, exception=b""):
        super().__init__(message)
        self.error, self.message, self.code, self.exception = error, message, code, exception


# Objects


def dump(value):
    """The bytes of an object as a list of pieces. What is bytes already stays as it is: commands and libraries read it, too."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        view = memoryview(value)
        if view.c_contiguous and view[:1].nbytes and bytes(view.cast("B")[:len(MAGIC)]) != MAGIC:
            return [view.cast("B")]
        if not view.nbytes:
            return []
        value = bytes(view)
    buffers = []

    def take(buffer):
        try:
            raw = buffer.raw()
        except BufferError:          # not contiguous
            return True
        if raw.nbytes < IN_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    pickled = pickle.dumps(value, protocol=5, buffer_callback=take)
    at = len(MAGIC) + 16 + 16 * len(buffers) + len(pickled)
    ranges, tail = [], []
    for raw in buffers:
        gap = -at % ALIGNMENT
        ranges.append((at + gap, raw.nbytes))
        tail += [bytes(gap), raw]
        at += gap + raw.nbytes
    head = MAGIC + struct.pack("<QQ", len(pickled), len(buffers)) + b"".join(struct.pack("<QQ", *r) for r in ranges)
    return [head, pickled, *tail]


def load(view):
    """The value of an object; of one that no Python task made, the bytes themselves as a read-only memoryview."""
    if len(view) < len(MAGIC) + 16 or view[:len(MAGIC)] != MAGIC:
        return view
    pickled_bytes, count = struct.unpack_from("<QQ", view, len(MAGIC))
    at = len(MAGIC) + 16 + 16 * count
    if at + pickled_bytes > len(view):
        raise ValueError("the object is damaged")
    buffers = []
    for i in range(count):
        begin, size = struct.unpack_from("<QQ", view, len(MAGIC) + 16 + 16 * i)
        if begin + size > len(view):
            raise ValueError("the object is damaged")
        buffers.append(view[begin:begin + size])
    return pickle.loads(view[at:at + pickled_bytes], buffers=buffers)


def load_parts(view, part_ends):
    """Of several parts a list of their values; of one part, as of an object without parts, its value."""
    if len(part_ends) < 2:
        return load(view)
    return [load(view[begin:end]) for begin, end in zip([0, *part_ends], part_ends)]


# Frames


class Cursor:
    """Reads a payload; struct.error and ValueError for one that is damaged."""

    def __init__(self, payload):
        self.payload, self.at = memoryview(payload), 0

    def number(self, form):
        (value,) = struct.unpack_from("<" + form, self.payload, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def raw(self):
        size = self.number("I")
        if size > len(self.payload) - self.at:
            raise ValueError("a frame is damaged")
        self.at += size
        return self.payload[self.at - size:self.at]

    def text(self):
        return bytes(self.raw()).decode("utf-8", "surrogateescape")

    def many(self, read):
        return [read() for _ in range(self.number("I"))]


class Channel:
    def __init__(self):
        self.socket = socket.socket(fileno=SOCKET)
        self.socket.set_inheritable(False)

    def send(self, kind, payload=b""):
        try:
            self.socket.sendall(struct.pack("<IBBH", len(payload), VERSION, kind, 0) + payload)
        except OSError:
            os._exit(0)              # the worker is gone

    def receive(self):
        """(kind, payload, descriptors); None: the worker has closed."""
        fds = []
        header = self._take(8, fds)
        if header is None:
            return None
        size, version, kind, files = struct.unpack("<IBBH", header)
        if version != VERSION or kind not in (FILES, TASK, ANSWER) or size > FRAME_BYTES or files != len(fds):
            raise ValueError(f"a frame of kind {kind}, version {version}, {size} bytes and {files} descriptors")
        payload = self._take(size, fds)
        return None if payload is None else (kind, payload, fds)

    def ask(self, kind, payload):
        """Sends what a function asks for; ((job, first object), bytes) of the answer, or taskd.TaskError."""
        self.send(kind, payload)
        frame = self.receive()
        if frame is None:
            os._exit(0)
        kind, payload, fds = frame
        if kind != ANSWER:
            raise ValueError(f"a frame of kind {kind} is no answer")
        c = Cursor(payload)
        error, job, ordinal = c.text(), c.number("I"), c.number("I")
        in_file, offset, length, raw = c.number("B"), c.number("Q"), c.number("Q"), c.raw()
        if in_file:
            (raw,) = map_ranges(fds, [(offset, length)])
        if error:
            raise taskd.TaskError(error)
        return (job, ordinal), raw

    def _take(self, size, fds):
        data = bytearray()
        while len(data) < size:
            piece, more, _, _ = socket.recv_fds(self.socket, size - len(data), FILES_PER_FRAME)
            if not piece:
                return None
            fds += more
            data += piece
        return bytes(data)


def map_files(payload, fds):
    cursor = Cursor(payload)
    return map_ranges(fds, cursor.many(lambda: (cursor.number("Q"), cursor.number("Q"))))


def map_ranges(fds, ranges):
    mapped = []
    for fd, (offset, length) in zip(fds, ranges):
        try:
            if length == 0:
                mapped.append(memoryview(b""))
                continue
            begin = offset - offset % mmap.ALLOCATIONGRANULARITY
            whole = mmap.mmap(fd, offset - begin + length, access=mmap.ACCESS_READ, offset=begin)
            mapped.append(memoryview(whole)[offset - begin:])
        finally:
            os.close(fd)
    return mapped


class Task:
    def __init__(self, payload, files):
        c = Cursor(payload)
        self.key = c.text()
        self.job, self.attempt, self.cpus = c.number("I"), c.number("I"), c.number("I")
        self.folder, self.output_folder, self.path, self.function = c.text(), c.text(), c.text(), c.text()
        self.code_id, self.code = c.number("Q"), c.raw()
        self.values = dict(c.many(lambda: (c.text(), c.text())))

        def piece():
            in_file, file, offset, length, raw = c.number("B"), c.number("I"), c.number("Q"), c.number("Q"), c.raw()
            part_ends = c.many(lambda: c.number("Q"))
            return files[file][offset:offset + length] if in_file else raw, part_ends

        self.inputs = c.many(lambda: (c.text(), c.number("B"), c.many(piece)))
        outputs = c.many(lambda: (c.text(), c.number("I")))
        self.outputs, self.parts = [name for name, _ in outputs], [parts for _, parts in outputs]

    def input_values(self):
        found = {}
        for name, collection, pieces in self.inputs:
            try:
                values = [load_parts(view, part_ends) for view, part_ends in pieces]
            except Exception as e:
                raise TaskFailure(ERROR_FAILED, f"the input '{name}' cannot be unpickled: {describe(e)}") from None
            found[name] = values if collection else values[0]
        return found


# Calls


def describe(error):
    """Type, message and traceback of an exception, without the frames of this file, capped."""
    head = "".join(traceback.format_exception_only(type(error), error)).strip()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in (__file__, taskd.__file__) and "importlib" not in f.filename]
    if not frames:
        return head[:MESSAGE_BYTES]
    trace = "".join(traceback.format_list(frames))
    head = head[:MESSAGE_BYTES // 2]
    room = MESSAGE_BYTES - len(head)
    return f"{head}\nTraceback (most recent call last):\n{trace if len(trace) <= room else '  ...' + trace[-room:]}".rstrip()


def pickled(error):
    """For those who want to raise it again; empty when it does not come back from a pickle, or is too large."""
    try:
        data = pickle.dumps(error)
        return data if len(data) <= EXCEPTION_BYTES and type(pickle.loads(data)) is type(error) else b""
    except Exception:
        return b""


class Functions:
    """What tasks call, found once."""

    def __init__(self):
        self.pickled, self.modified = {}, {}

    def find(self, task):
        if task.path and task.path not in sys.path:
            sys.path.insert(0, task.path)
        if task.code_id:
            return self._unpickle(task)
        module_name, _, name = task.function.partition(":")
        try:
            found = self._module(module_name)
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except ModuleNotFoundError as e:
            where = f"; the task's own path is {task.path}" if task.path else "; name its folder with python: {call: ..., path: FOLDER}"
            raise TaskFailure(ERROR_CANNOT_START, f"cannot import {module_name} with {sys.executable}: {e}{where}") from None
        except AttributeError as e:
            raise TaskFailure(ERROR_CANNOT_START, f"there is no {task.function}: {e}") from None
        except Exception as e:
            raise TaskFailure(ERROR_CANNOT_START, f"cannot import {module_name}: {describe(e)}") from None

    def _module(self, name):
        """Imported anew when its file has changed, so that who edits it need not know of warm processes."""
        module = importlib.import_module(name)
        file = getattr(module, "__file__", None)
        modified = os.stat(file).st_mtime_ns if file and os.path.exists(file) else None
        if self.modified.setdefault(name, modified) != modified:
            module = importlib.reload(module)
            self.modified[name] = modified
        return module

    def _unpickle(self, task):
        if task.code_id not in self.pickled:
            if not task.code:
                raise TaskFailure(ERROR_CANNOT_START, "the function did not come with the task")
            try:
                self.pickled[task.code_id] = pickle.loads(task.code)
            except Exception as e:
                raise TaskFailure(ERROR_CANNOT_START, f"the function cannot be unpickled: {describe(e)}") from None
        return self.pickled[task.code_id]


def arguments(function, inputs, values):
    """Positional and keyword arguments: each parameter is the input, axis value or variable of its name."""
    known = {**values, **inputs}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in that does not tell
        return list(inputs.values()), {}
    positional = [known[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in known]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return positional, known
    return positional, {p.name: known[p.name] for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name in known}


def split(result, outputs):
    """The values of the outputs, from what the function returned."""
    if not outputs:
        return []
    if len(outputs) == 1:
        return [result]
    if isinstance(result, dict):
        missing = [name for name in outputs if name not in result]
        if missing:
            raise TaskFailure(ERROR_OUTPUT_MISSING, f"output '{missing[0]}' is not in the dict that the function returned")
        return [result[name] for name in outputs]
    if isinstance(result, (tuple, list)) and len(result) == len(outputs):
        return list(result)
    raise TaskFailure(ERROR_OUTPUT_MISSING, f"a function with the {len(outputs)} outputs {', '.join(outputs)} returns a tuple of so many "
                                            f"values, or a dict, not {type(result).__name__}")


class Outputs:
    """What the function made, on its way into the answer or into files."""

    def __init__(self, task):
        self.folder, self.inline_bytes, self.made_folder = task.output_folder, 0, False
        self.encoded = b""

    def add(self, index, name, value, parts):
        """`parts`: how many, of which `value` is the list; 0: it is one value."""
        if parts and not (isinstance(value, (tuple, list)) and len(value) == parts):
            told = f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
            raise TaskFailure(ERROR_OUTPUT_MISSING, f"output '{name}' has {parts} parts: a list or tuple of so many values, not {told}")
        pieces, ends, size = [], [], 0
        for part in value if parts else [value]:
            try:
                dumped = dump(part)
            except Exception as e:
                raise TaskFailure(ERROR_OUTPUT_MISSING, f"output '{name}' cannot be pickled: {describe(e)}") from None
            pieces += dumped
            size += sum(memoryview(piece).nbytes for piece in dumped)
            ends.append(size)
        if not parts:
            ends = []
        encoded_ends = struct.pack(f"<I{len(ends)}Q", len(ends), *ends)
        if size <= VALUE_BYTES and self.inline_bytes + size <= INLINE_BYTES:
            self.inline_bytes += size
            self.encoded += struct.pack("<BI", 0, size) + b"".join(pieces) + encoded_ends
            return
        try:
            self._write(index, pieces, size)
        except OSError as e:
            raise TaskFailure(ERROR_STORE, f"no room for the {size} bytes of output '{name}' in {self.folder}: {e.strerror}") from None
        self.encoded += struct.pack("<BI", 1, 0) + encoded_ends

    def leave_out(self):
        """The next one is delegated."""
        self.encoded += struct.pack("<BII", 0, 0, 0)

    def put(self, value):
        """What a put asks for."""
        pieces = dump(value)
        size = sum(memoryview(piece).nbytes for piece in pieces)
        if size <= VALUE_BYTES:
            return struct.pack("<BI", 0, size) + b"".join(pieces)
        try:
            self._write("put", pieces, size)
        except OSError as e:
            raise taskd.TaskError(f"no room for the {size} bytes that are put in {self.folder}: {e.strerror}") from None
        return struct.pack("<BI", 1, 0)

    def _write(self, index, pieces, size):
        if not self.made_folder:
            os.mkdir(self.folder, 0o700)
            self.made_folder = True
        fd = os.open(f"{self.folder}/{index}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
            for piece in pieces:
                rest = memoryview(piece).cast("B")
                while rest.nbytes:
                    rest = rest[os.write(fd, rest):]
        finally:
            os.close(fd)


class Runner:
    def __init__(self):
        self.channel, self.functions = Channel(), Functions()
        self.home = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.pid = os.getpid()
        self.terminated = False
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_terminate(self, *_):
        """The worker gives a grace, in which `finally` and `with` do their work."""
        self.terminated = True
        raise SystemExit(128 + signal.SIGTERM)

    def run(self):
        self.channel.send(HELLO)
        files, files_error = [], None
        for kind, payload, fds in iter(self.channel.receive, None):
            if kind == FILES:
                try:
                    files += map_files(payload, fds)
                except (OSError, ValueError) as e:
                    files_error = f"cannot map an input: {e}"
                continue
            task = None if files_error else Task(payload, files)
            files = []
            self._answer(task, files_error)
            task, files_error, payload = None, None, None

    def _answer(self, task, files_error):
        outputs = None
        entered = False
        try:
            if files_error:
                raise TaskFailure(ERROR_STORE, files_error)
            try:
                entered = True
                os.mkdir(task.folder, 0o700)
                os.chdir(task.folder)
            except OSError as e:
                raise TaskFailure(ERROR_STORE, f"cannot make the folder {task.folder}: {e.strerror}") from None
            outputs = Outputs(task)
            self._call(task, outputs)
            kind, answer = DONE, struct.pack("<I", len(task.outputs)) + outputs.encoded
        except TaskFailure as e:
            message = e.message.encode("utf-8", "replace")
            kind, answer = FAILED, struct.pack("<BiI", e.error, e.code, len(message)) + message
            answer += struct.pack("<I", len(e.exception)) + e.exception
        if os.getpid() != self.pid:
            sys.stderr.write("taskd: a process that the function had forked came back from it, and is ended\n")
            self._flush()
            os._exit(1)
        self._flush()
        if self.terminated:
            os._exit(128 + signal.SIGTERM)
        left_folder = entered and not self._leave(task.folder)
        folders = left_folder or (outputs is not None and outputs.made_folder)
        self.channel.send(kind, answer + struct.pack("<BB", folders, self._children_live()))

    def _call(self, task, outputs):
        session = taskd.Session(task, self.channel.ask, self.channel.send, load, outputs.put)
        try:
            function = self.functions.find(task)
            inputs, call = task.input_values(), task.values.get(taskd.CALL)
            if call is None:
                positional, named = arguments(function, inputs, task.values)
            else:
                positional, named = taskd.call_of(call.encode("utf-8", "surrogateescape"), inputs)
            taskd._session = session
            result = function(*positional, **named)
            session.end()
            for index, value in enumerate(split(result, task.outputs)):
                if isinstance(value, taskd.Ref):
                    session.delegate(index, value)
                if index in session.delegated:
                    outputs.leave_out()
                else:
                    outputs.add(index, task.outputs[index], value, task.parts[index])
        except TaskFailure:
            raise
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
            raise TaskFailure(ERROR_FAILED, f"the function called sys.exit({e.code!r}); a function returns", code) from None
        except BaseException as e:
            raise TaskFailure(ERROR_FAILED, describe(e), exception=pickled(e)) from None
        finally:
            taskd._session = None

    def _leave(self, folder):
        """Whether the task's folder is gone, as nothing was in it."""
        os.fchdir(self.home)
        try:
            os.rmdir(folder)
        except OSError:
            return False
        return True

    @staticmethod
    def _flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):     # the function has closed or replaced it
                pass

    @staticmethod
    def _children_live():
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return False
        return True


def main():
    if sys.version_info < (3, 9):
        sys.exit(f"taskd needs Python 3.9 or later, and {sys.executable} is {sys.version.split()[0]}: name another one in the task's "
                 "body (python: {call: ..., env: FOLDER}), or for all tasks with taskd-worker --python")
    sys.path.pop(0)                  # of this file, not of the tasks
    taskd.interpreter = "".join(sys.argv[1:])
    faulthandler.enable()
    try:
        Runner().run()
    except (ValueError, struct.error, IndexError) as e:
        sys.exit(f"taskd_runner: a frame is damaged: {e}")


if __name__ == "__main__":
    main()
