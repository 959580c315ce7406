#!/usr/bin/env python3
"""A real Prometheus reads real servers under load, with PostgreSQL's and Redis' exporters beside
them, and every query of every panel and every alert must find something. An empty panel fails."""

import json
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.parse

from scene import ROOT, Load, Process, Server, call, check, clean_environment, free_port, need, until
from stores import Postgres, Redis

DASHBOARDS = ROOT / "docker" / "grafana" / "dashboards"
PROMETHEUS = ROOT / "docker" / "prometheus"
NAMES = ROOT / "tuning" / "metrics.md"
BANDS = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "BULK"]
# Measures of others.
FOREIGN = ("pg_", "redis_", "up", "ALERTS")
TYPES = """
[types.COMMAND]
executor = "process"
command = ["/bin/true"]
"""


def panels():
    """Title and query of everything that a dashboard shows."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{board['title']}: {panel['title']}", target["expr"]


def alerts():
    """Name and compared side of every condition of an alert: `A > 1 and B == 0` has two."""
    text = (PROMETHEUS / "alerts.yml").read_text()
    rules = re.findall(r"- alert: (\w+)\n +expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", text)
    assert len(rules) == text.count("- alert:"), "every alert is read"
    for name, block, line in rules:
        for condition in re.split(r"^\s*and ", block or line, flags=re.M):
            side, found = re.subn(r"\s*(==|<|>)\s*[\d.]+\s*$", "", condition.strip())
            assert found == 1, f"{name}: {condition} is no comparison"
            yield name, side


def metrics_in(query):
    return set(re.findall(r"\b(?:taskscheduler|http_server|process|pg|redis)_[a-z_]+", query))


def every_dashboard_and_alert_names_only_measures_that_there_are():
    # A test of the program holds this table against what it measures.
    known = set(re.findall(r"^\| `(\w+)` \|", NAMES.read_text(), re.M))
    assert len(known) > 50
    own = [(where, metric) for where, query in [*panels(), *alerts()]
           for metric in metrics_in(query) if not metric.startswith(FOREIGN)]
    assert len(own) > 80
    # A histogram is documented once and has three names.
    base = lambda metric: re.sub(r"_(bucket|sum|count)$", "", metric)
    wrong = [one for one in own if one[1] not in known and base(one[1]) not in known]
    assert not wrong, wrong
    uids = {json.loads(path.read_text())["uid"] for path in DASHBOARDS.glob("*.json")}
    assert len(uids) == 3


def promtool(*command, folder=PROMETHEUS):
    done = subprocess.run([need("promtool", "prometheus"), *command], cwd=folder,
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def the_rules_hold_and_each_alert_fires_when_it_should():
    for command in [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"),
                    ("test", "rules", "alerts.test.yml")]:
        code, said = promtool(*command)
        assert code == 0, said
    cases = (PROMETHEUS / "alerts.test.yml").read_text()
    pages = (ROOT / "docker" / "ALERTS.md").read_text()
    for name in {name for name, _ in alerts()}:
        assert f"name: {name} fires" in cases and f"name: {name} stays quiet" in cases, name
        assert f"\n## {name}\n" in pages, f"{name} has no page"
    with tempfile.TemporaryDirectory() as folder:
        # A threshold that is moved must be noticed.
        for path in PROMETHEUS.glob("*.yml"):
            pathlib.Path(folder, path.name).write_text(path.read_text().replace("> 0.95", "> 95"))
        code, said = promtool("test", "rules", "alerts.test.yml", folder=folder)
        assert code != 0 and "TaskSchedulerCoresSaturated" in said, said


class Exporter(Process):
    """What shows a store to Prometheus."""

    def __init__(self, package, *arguments, **variables):
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__([need(package), f"--web.listen-address={self.address}", *arguments],
                         package, env=clean_environment(**variables))
        until(lambda: call(f"http://{self.address}/metrics")[0] == 200, f"{package} answers")


class Prometheus(Process):
    """Prometheus with the deployment's own configuration, but for addresses and haste."""

    def __init__(self, folder, targets):
        home = pathlib.Path(folder, "prometheus")
        home.mkdir()
        text = (PROMETHEUS / "prometheus.yml").read_text()
        for job, addresses in targets.items():
            place = rf"(job_name: {job}\n(?:.*\n)*?\s+- targets: )\[.*\]"
            text, found = re.subn(place, rf"\g<1>{json.dumps(addresses)}", text)
            assert found == 1, job
        text = re.sub(r"(scrape_interval|evaluation_interval): \d+s", r"\1: 1s", text)
        (home / "prometheus.yml").write_text(text)
        (home / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        super().__init__([need("prometheus"), f"--config.file={home}/prometheus.yml",
                          f"--storage.tsdb.path={home}/data", f"--web.listen-address={address}"])
        until(lambda: call(self.url + "/-/ready")[0] == 200, "Prometheus is ready")

    def samples(self, query):
        """What the query finds, but for what is not a number."""
        for name, value in {"$__rate_interval": "15s", "$job": ".*", "$instance": ".*"}.items():
            query = query.replace(name, value)
        query = urllib.parse.urlencode({"query": query})
        status, answer, _ = call(f"{self.url}/api/v1/query?{query}")
        assert status == 200, answer
        return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]


def batch():
    kinds = [
        {"taskType": "NOOP"},
        {"taskType": "ECHO"},
        {"taskType": "SLEEP", "payload": {"ms": 20}},
        {"taskType": "COMMAND"},
        # Fails once and is tried again; fails for good.
        {"taskType": "FAIL", "payload": {"times": 1}, "retryDelayMs": 100},
        {"taskType": "FAIL", "payload": {"times": 9}, "maxRetryAttempts": 0},
    ]
    named = lambda number: {"taskName": f"load {number}", "priority": BANDS[number % 5]}
    return [{**named(number), "payload": "{}", **kinds[number % 6]} for number in range(30)]


def stir(server):
    """Everything that a dashboard has a line for and that load alone does not bring about."""
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 5) as wrong:
        wrong.sendall(b"GET / HTTP/1.1\r\nContent-Length: wrong\r\n\r\n")
        wrong.recv(100)
    for path in ["?size=5", "/statistics", "/1"]:
        server.call(f"/api/v1/tasks{path}")
    for task in server.call("/api/v1/tasks?status=FAILED&size=1")[1]["content"]:
        server.call(f"/api/v1/tasks/{task['id']}/retry", "POST")


def find_all(prometheus, wanted, meanwhile, seconds):
    """Waits until every query finds something; fails with those that do not."""
    empty = []

    def found():
        meanwhile()
        empty[:] = [one for one in wanted if not prometheus.samples(one[1])]
        return not empty

    try:
        until(found, "every query finds something", seconds)
    except AssertionError as late:
        lines = "\n".join(f"{where}\n    {query}" for where, query in empty)
        raise AssertionError(f"{len(empty)} of {len(wanted)} are empty:\n{lines}") from late


def every_panel_and_every_alert_finds_something_under_load():
    wanted = [*panels(), *alerts()]
    assert len(wanted) > 110, len(wanted)
    with tempfile.TemporaryDirectory() as folder, Postgres(folder) as postgres, \
            Redis(folder) as redis:
        config = pathlib.Path(folder, "taskscheduler.toml")
        config.write_text(TYPES)
        stores = ["--database-url", postgres.url, "--redis-url", redis.url]
        # One with the embedded store, whose disk is measured, and one with the others.
        own = Server(pathlib.Path(folder, "own"), "--config", config)
        other = Server(pathlib.Path(folder, "other"), "--config", config, *stores)
        source = {"DATA_SOURCE_NAME": postgres.url + "?sslmode=disable"}
        exporters = [Exporter("prometheus-postgres-exporter", **source),
                     Exporter("prometheus-redis-exporter", f"--redis.addr={redis.url}")]
        targets = {
            "taskscheduler": [server.url.removeprefix("http://") for server in (own, other)],
            "postgres": [exporters[0].address],
            "redis": [exporters[1].address],
        }
        with own, other, exporters[0], exporters[1], Prometheus(folder, targets) as prometheus:
            with Load(own, batch), Load(other, batch):
                for server in (own, other):
                    server.until_status(server.submit("COMMAND"), "COMPLETED")
                over = time.monotonic() + 10
                until(lambda: stir(own) or stir(other) or time.monotonic() > over, "stirred")
                # This keeps the node in its drain.
                long = own.submit("SLEEP", payload={"ms": 600_000})
                own.until_status(long, "RUNNING")
            # While it drains it refuses submits, which a panel and an alert look at.
            own.process.terminate()
            refused = lambda: own.call("/api/v1/tasks", "POST", batch()[0])[0] == 503
            until(refused, "a node that drains refuses")

            def meanwhile():
                if own.process.poll() is None:
                    refused()
                stir(other)

            with Load(other, batch):
                find_all(prometheus, wanted, meanwhile, 20)
            assert not prometheus.samples("taskscheduler_there_is_no_such_measure")
            down = prometheus.samples('ALERTS{alertname="TaskSchedulerStoreDown"}')
            assert not down, down


if __name__ == "__main__":
    check(
        every_dashboard_and_alert_names_only_measures_that_there_are,
        the_rules_hold_and_each_alert_fires_when_it_should,
        every_panel_and_every_alert_finds_something_under_load,
    )
