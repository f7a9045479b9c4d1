"""A benchmark that is stopped in the middle leaves no process and no file."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import measuring  # noqa: F401 (finds the harness)
from harness import alive, until

PROGRAM = pathlib.Path(__file__).resolve().parent / "end_to_end.py"


class InterruptTest(unittest.TestCase):
    def stopped_by(self, send):
        tmp = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, tmp, ignore_errors=True)
        with subprocess.Popen([sys.executable, "-B", PROGRAM, "latency", "--jobs", "1000000"], env={**os.environ, "TMPDIR": str(tmp)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as child:
            until(lambda: list(tmp.glob("*/files/*.tgraph")), "its graph")
            pids = [json.loads(path.read_text())["pid"] for path in tmp.glob("*/state/local/*.ready")]
            send(child.pid)
            output, _ = child.communicate(timeout=60)
        self.assertEqual(len(pids), 3, output.decode())
        self.assertNotEqual(child.returncode, 0)
        self.assertEqual([pid for pid in pids if alive(pid)], [], output.decode())
        self.assertEqual(list(tmp.iterdir()), [])
        clients = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                   if alive(path.parent.name) and str(tmp).encode() in path.read_bytes()]
        self.assertEqual(clients, [])

    def test_ctrl_c(self):
        self.stopped_by(lambda pid: os.killpg(pid, signal.SIGINT))        # as a terminal does

    def test_sigterm(self):
        self.stopped_by(lambda pid: os.kill(pid, signal.SIGTERM))


if __name__ == "__main__":
    unittest.main()
