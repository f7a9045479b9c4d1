"""A TCP relay between a worker and its scheduler, or another worker, that can cut the wire."""

import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import threading

from harness import BIN, PATIENCE_S, read_access, until


class Proxy:
    """Relays every connection to `target` ("host:port"). One thread moves the bytes; a lock guards the table."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._peers = {}                               # socket -> the other side
        self._blocked = False
        self._closing = False
        self._moved = 0                                # bytes, either way
        self._plans = []                               # (bytes, action), soonest first
        self._thread = threading.Thread(target=self._relay)

    @property
    def address(self):
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing = True
        self.cut()
        self._thread.join(PATIENCE_S)
        self._listener.close()

    def cut(self):
        """Resets every connection; new ones are let in."""
        with self._lock:
            sockets, self._peers = list(self._peers), {}
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def block(self):
        """Cuts, and refuses new connections until unblock()."""
        self._blocked = True
        self.cut()

    def unblock(self):
        self._blocked = False

    def after(self, count, action):
        """Calls action, on the relay's thread, when so many bytes have been moved since the start."""
        self._plans.append((count, action))
        self._plans.sort(key=lambda plan: plan[0])

    def await_connections(self, count):
        until(lambda: len(self._peers) >= 2 * count, f"{count} connections through the proxy")

    def _relay(self):
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ)
        while not self._closing:
            for key, _ in selector.select(timeout=0.05):
                if key.fileobj is self._listener:
                    for sock in self._accept():
                        selector.register(sock, selectors.EVENT_READ)
                elif not self._move(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
        for key in list(selector.get_map().values()):
            if key.fileobj is not self._listener:
                key.fileobj.close()
        selector.close()

    def _accept(self):
        near, _ = self._listener.accept()
        if self._blocked:
            near.close()
            return ()
        try:
            far = socket.create_connection(self._target, timeout=PATIENCE_S)
        except OSError:
            near.close()
            return ()
        for sock in (near, far):
            sock.settimeout(PATIENCE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._peers[near], self._peers[far] = far, near
        return near, far

    def _move(self, sock):
        """Moves what has come. False when this side has ended."""
        with self._lock:
            peer = self._peers.get(sock)
        try:
            data = sock.recv(1 << 16)
            if data and peer is not None:
                peer.sendall(data)
                self._moved += len(data)
                while self._plans and self._plans[0][0] <= self._moved:
                    self._plans.pop(0)[1]()
                return True
        except OSError:
            pass
        if peer is not None:
            with self._lock:
                self._peers.pop(sock, None)
                self._peers.pop(peer, None)
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        return False


@contextlib.contextmanager
def worker_behind(proxy, cluster, name):
    """A worker of `cluster` that knows the scheduler under the proxy's address only."""
    folder = cluster.top / name
    folder.mkdir(mode=0o700)
    access = (cluster.dir / "access.yaml").read_text()
    for address in read_access(cluster.dir)["addresses"]:
        access = access.replace(address, proxy.address)
    with open(os.open(folder / "access.yaml", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
        out.write(access)
    with open(folder / "log", "wb") as log:
        worker = subprocess.Popen([BIN / "taskd-worker", "--dir", folder, "--name", name, "--cpus", "2",
                                   "--work-dir", folder / "work"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield worker
    except BaseException:
        print(f"--- {name}\n" + "\n".join((folder / "log").read_text(errors="replace").splitlines()[-20:]), flush=True)
        raise
    finally:
        worker.terminate()
        try:
            worker.wait(PATIENCE_S)
        finally:
            worker.kill()
            worker.wait()
            shutil.rmtree(folder, ignore_errors=True)
