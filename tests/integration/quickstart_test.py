"""deploy/quickstart on a small tree: verified, also with a worker killed half-way; nothing is left behind."""

import gzip
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import BIN, SOURCE, alive, run, until


class QuickstartTest(unittest.TestCase):
    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def quickstart(self, *args):
        return run([SOURCE / "deploy" / "quickstart", "--bin", BIN, *args], timeout_s=150, env={"TMPDIR": str(self.tmp)})

    def test_small_tree(self):
        tree = self.tmp / "tree"
        (tree / "deep").mkdir(parents=True)
        (tree / "one file.txt").write_text("Hello hello world\nno newline at the end")
        (tree / "it's.txt").write_text("End of the world")
        (tree / "deep" / "bytes").write_bytes(bytes(range(256)) * 3)
        (tree / "deep" / "empty").touch()
        (tree / ".hidden").write_text("secret")
        (tree / "deep" / "z.gz").write_bytes(gzip.compress(b"zipped hello"))
        result = self.quickstart("--src", tree, "--maps", "4")
        self.assertEqual(result.code, 0, result)
        self.assertIn("verified: 16 parts", result.text)
        self.assertRegex(result.text, r"hello +3 +2")
        self.assertEqual([path.name for path in self.tmp.iterdir()], ["tree"])

    def test_kill_a_worker(self):
        result = self.quickstart("--kill-a-worker", "--src", "/usr/include/c++")
        self.assertEqual(result.code, 0, result)
        self.assertIn("killed worker-2", result.error)
        self.assertIn("verified: 16 parts", result.text)
        self.assertRegex(result.text, r"workers lost 1, results lost with them \d+, tasks run again \d+")
        self.assertEqual(list(self.tmp.iterdir()), [])

    def test_interrupt_stops_the_cluster(self):
        with subprocess.Popen([SOURCE / "deploy" / "quickstart", "--bin", BIN], env={**os.environ, "TMPDIR": str(self.tmp)},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as child:
            pids = until(lambda: [path.read_text() for path in self.tmp.glob("*/cluster/local/worker-3.ready")], "the cluster")
            until(lambda: list(self.tmp.glob("*/cluster/local/worker-1/*")), "worker-1's folder")
            self.assertTrue(pids)
            os.killpg(child.pid, signal.SIGINT)       # as a terminal does
            output, _ = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 130, output.decode())
        self.assertEqual(list(self.tmp.iterdir()), [])
        left = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if alive(path.parent.name) and str(self.tmp).encode() in path.read_bytes()]
        self.assertEqual(left, [])

    def test_wrong_arguments(self):
        for args in (["--nosuch"], ["--src"], ["--src", "/usr", "--src", "/etc", "--src", "/var"]):
            with self.subTest(args):
                result = self.quickstart(*args)
                self.assertEqual(result.code, 2, result)
                self.assertIn("quickstart:", result.error)


if __name__ == "__main__":
    unittest.main()
