"""deploy/examples/reads: bwa and samtools in pieces give what they give in one run, also with a worker killed."""

import os
import pathlib
import shutil
import tempfile
import unittest

from harness import BIN, SOURCE, ClusterTest, run, until

EXAMPLE = SOURCE / "deploy" / "examples" / "reads"
READS = pathlib.Path("/usr/share/doc/bowtie2/examples/reads/reads_1.fq.gz")
MISSING = [tool for tool in ("bwa", "samtools") if not shutil.which(tool)] + ["bowtie2-examples"] * (not READS.exists())


def example(folder, *args, path=f"{BIN.resolve()}:{os.environ['PATH']}"):
    return run([EXAMPLE / "run", *args], timeout_s=180, env={"TASKD_DIR": str(folder), "PATH": path})


@unittest.skipIf(MISSING, f"not installed: {MISSING}; deploy/install-deps installs them")
class ReadsTest(ClusterTest):
    CPUS = 1

    def test_same_as_one_after_the_other(self):
        result = example(self.cluster.dir)
        self.assertEqual(result.code, 0, result)
        self.assertIn("verified: 20052 alignments", result.text)
        self.assertIn("20000 + 0 primary\n", result.text)

    def test_a_lost_worker_changes_no_byte(self):
        job, _ = self.cluster.run_graph((EXAMPLE / "graph.yaml").read_text())
        first = self.cluster.get(job, "merge.bam")
        child = self.cluster.background("run", EXAMPLE / "graph.yaml", "-D", "pieces=16")
        self.addCleanup(child.kill)
        again = until(lambda: self.cluster.last_job() > job and self.cluster.last_job(), "the second job")
        until(lambda: self.cluster.job(again)["done"] >= 12, "a third of its tasks")
        self.cluster.kill("worker-2")
        out, err = child.communicate(timeout=120)
        self.assertEqual(child.returncode, 0, (out, err))
        self.assertEqual(self.cluster.get(again, "merge.bam"), first)


class WithoutTest(unittest.TestCase):
    """What the script says when something is not there."""

    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def test_programs(self):
        tools = self.tmp / "bin"
        tools.mkdir()
        for name in ("bash", "dirname", "sed"):
            (tools / name).symlink_to(shutil.which(name))
        result = example(self.tmp, path=str(tools))
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.error, "not installed: bwa samtools.*; as root: apt-get install .*bwa samtools")

    def test_arguments(self):
        for arguments in (["0"], ["many"], ["2", "3"], ["-D", "pieces=2"]):
            with self.subTest(arguments):
                result = example(self.tmp, *arguments)
                self.assertEqual((result.code, "usage: run" in result.error), (2, True), result)

    @unittest.skipIf(MISSING, f"not installed: {MISSING}; deploy/install-deps installs them")
    def test_no_cluster(self):
        result = example(self.tmp / "none")
        self.assertEqual(result.code, 4, result)
        self.assertIn("taskctl cluster start", result.error)
        self.assertNotIn("verified", result.text)


if __name__ == "__main__":
    unittest.main()
