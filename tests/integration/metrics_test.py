"""What a real Prometheus sees, and who may look."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

from graphs import SHUFFLE
from harness import ClusterTest, until

# Series that must be there after a job has run on three workers, as PromQL with what its value must be.
SERIES = [
    ('sum(taskd_scheduler_tasks{state="done"})', lambda v: v == 17),
    ('sum(taskd_scheduler_workers{state="up"})', lambda v: v == 3),
    ('sum(taskd_scheduler_attempts_ended_total{end="finished"})', lambda v: v == 17),
    ("sum(taskd_scheduler_attempts_failed_total)", lambda v: v == 0),
    ("count(taskd_scheduler_assignments_total)", lambda v: v >= 3),        # home, idle, moved
    ("sum(taskd_scheduler_assignments_total)", lambda v: v >= 17),
    ("sum(taskd_scheduler_input_moved_bytes_total)", lambda v: v > 0),
    ("sum(taskd_scheduler_input_saved_bytes_total)", lambda v: v > 0),
    ("sum(taskd_scheduler_workers_lost_total)", lambda v: v == 0),
    ("sum(taskd_scheduler_objects_lost_total)", lambda v: v == 0),
    ("sum(taskd_scheduler_tasks_recomputed_total)", lambda v: v == 0),
    ("sum(taskd_scheduler_retracts_total)", lambda v: v >= 0),
    ("sum(taskd_scheduler_recovery_duration_seconds_count)", lambda v: v == 0),
    ("sum(taskd_scheduler_scheduling_latency_seconds_count)", lambda v: v >= 17),
    ("sum(taskd_scheduler_worker_imbalance_ratio)", lambda v: v >= 0),
    ("sum(taskd_worker_session_up)", lambda v: v == 3),
    ("sum(taskd_worker_cpus)", lambda v: v == 6),
    ('sum(taskd_worker_attempts_ended_total{end="finished"})', lambda v: v == 17),
    ("sum(taskd_worker_served_bytes_total)", lambda v: v > 0),
    ("count(up == 1)", lambda v: v == 4),
]


def promql(address, query):
    """The value of a query with one result, or None."""
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    return float(result[0]["value"][1]) if result else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class MetricsTest(ClusterTest):
    def targets(self):
        return [self.cluster.status()["metrics_address"],
                *[worker["metrics_address"] for worker in self.cluster.worker_list().values()]]

    def test_key_is_needed(self):
        self.assertEqual(self.cluster.http("/healthz")[0], 200)
        self.assertEqual(self.cluster.http("/metrics")[0], 401)
        self.assertEqual(self.cluster.http("/metrics", "wrong")[0], 401)
        self.assertEqual(self.cluster.http("/metrics", self.cluster.key())[0], 200)

    def test_text_is_well_formed(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.cluster.http("/metrics", self.cluster.key())[1],
                              text=True, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_prometheus_scrapes(self):
        self.cluster.run_graph(SHUFFLE % ":")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="taskd-test-prometheus-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        (folder / "key").write_text(self.cluster.key())
        (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: taskd
  authorization: {{type: Bearer, credentials_file: {folder}/key}}
  static_configs: [{{targets: {json.dumps(self.targets())}}}]
""")
        address = f"127.0.0.1:{free_port()}"
        with open(folder / "log", "w", encoding="utf-8") as log:
            server = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                       f"--web.listen-address={address}", "--log.level=warn"], stdout=log, stderr=log)
        try:
            for query, right in SERIES:
                with self.subTest(query):
                    seen = []

                    def as_wanted(query=query, right=right, seen=seen):
                        value = promql(address, query)
                        seen.append(value)
                        return value is not None and right(value)

                    try:
                        until(as_wanted, f"{query} to have its value", timeout_s=30)
                    except AssertionError as error:
                        raise AssertionError(f"{error}; it is {seen[-1]}\n{self.names()}\n{(folder / 'log').read_text()}") from None
        finally:
            server.terminate()
            server.wait(30)

    def names(self):
        text = self.cluster.http("/metrics", self.cluster.key())[1]
        return sorted(set(re.findall(r"^# TYPE (\w+ \w+)", text, re.M)))


if __name__ == "__main__":
    unittest.main()
