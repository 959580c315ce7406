#!/usr/bin/env python3
"""The load balancer's own files in a real nginx, in front of two real nodes on one PostgreSQL, one of
which dies."""

import collections
import contextlib
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

from scene import ROOT, Process, Server, call, check, free_port, need, until
from stores import Postgres

FILES = ROOT / "docker" / "nginx"


class Balancer(Process):
    """nginx with the files of the deployment; only names, ports and folders are this machine's."""

    def __init__(self, folder, nodes, main="nginx.conf"):
        self.folder = pathlib.Path(folder, "nginx")
        if not self.folder.exists():
            shutil.copytree(FILES, self.folder)
        ports = {"8080": free_port(), "8443": free_port()}
        self.url = f"http://127.0.0.1:{ports['8080']}"
        self.secure = f"127.0.0.1:{ports['8443']}"
        for name in ["nginx.conf", "tls.conf", "nodes.conf", "routes.conf"]:
            text = (FILES / name).read_text()
            for number, node in enumerate(nodes, 1):
                text = text.replace(f"node-{number}:8080", node.url.removeprefix("http://"))
            for port, mine in ports.items():
                text = text.replace(f"listen {port}", f"listen 127.0.0.1:{mine}")
            text = text.replace("$host:8443", f"$host:{ports['8443']}")
            text = text.replace("/tmp/nginx", f"{self.folder}/nginx")
            (self.folder / name).write_text(text)
        nginx = need("nginx", "nginx-light")
        command = [nginx, "-p", self.folder, "-c", self.folder / main]
        subprocess.run([*command, "-t", "-q"], check=True)
        super().__init__([*command, "-g", "daemon off;"], "nginx")
        until(lambda: call(self.url + "/actuator/health/liveness")[0] < 400, "nginx answers")


@contextlib.contextmanager
def two_nodes():
    with tempfile.TemporaryDirectory() as folder:
        with Postgres(folder) as postgres:
            store = ["--database-url", postgres.url]
            nodes = [Server(pathlib.Path(folder, f"data-{n}"), *store) for n in (1, 2)]
            with nodes[0], nodes[1]:
                yield folder, nodes


def total(node):
    return node.call("/api/v1/tasks/statistics")[1]["totalTasks"]


def taken(node):
    """How many submits came to this node."""
    rows = node.call("/metrics")[1].splitlines()
    labels = ['_requests_seconds_count{', 'method="POST"', 'uri="/api/v1/tasks"', 'status="201"']
    return sum(int(row.rsplit(" ", 1)[1]) for row in rows if all(it in row for it in labels))


def the_files_hold_together_and_a_wrong_one_is_found():
    with two_nodes() as (folder, nodes), Balancer(folder, nodes) as balancer:
        wrong = balancer.folder / "wrong.conf"
        wrong.write_text((FILES / "nginx.conf").read_text().replace("listen", "listn"))
        command = [need("nginx"), "-p", balancer.folder, "-c", wrong, "-t", "-q"]
        done = subprocess.run(command, capture_output=True)
        assert done.returncode != 0


def requests_go_to_both_nodes_in_turn_and_a_person_stays_with_one():
    with two_nodes() as (folder, nodes), Balancer(folder, nodes) as balancer:
        for _ in range(40):
            status, _, heads = call(balancer.url + "/api/v1/tasks", "POST",
                                    {"taskName": "t", "taskType": "NOOP"})
            assert status == 201 and heads["X-Request-Id"]
        got = [taken(node) for node in nodes]
        assert sum(got) == 40 and min(got) >= 15, got
        # It is one system: each shows what both took.
        for node in nodes:
            until(lambda: total(node) == 40, "both count all tasks")
        task = {"taskName": "t", "taskType": "NOOP"}
        for _ in range(10):
            heads = {"User-Agent": "Mozilla/5.0 (a person)"}
            assert call(balancer.url + "/api/v1/tasks", "POST", task, heads)[0] == 201
        after = [taken(node) for node in nodes]
        more = sorted(b - a for a, b in zip(got, after))
        assert more == [0, 10], more
        heads = {"X-Request-Id": "mine-1"}
        assert call(balancer.url + "/actuator/health", headers=heads)[2]["X-Request-Id"] == "mine-1"


class Client(threading.Thread):
    """Asks without a pause until it is told to stop, and counts the answers."""

    def __init__(self, url, method, body=None, key=None):
        super().__init__(daemon=True)
        self.url, self.method, self.body, self.key = url, method, body, key
        self.answers, self.over = collections.Counter(), threading.Event()

    def run(self):
        number = 0
        while not self.over.is_set():
            number += 1
            heads = {"Idempotency-Key": f"{self.key}-{number}"} if self.key else None
            try:
                self.answers[call(self.url, self.method, self.body, heads)[0]] += 1
            except OSError as error:
                self.answers[repr(error)] += 1

    def stop(self):
        self.over.set()
        self.join(20)
        return self.answers


def when_a_node_is_killed_nothing_fails_that_may_be_asked_twice():
    with two_nodes() as (folder, nodes), Balancer(folder, nodes) as balancer:
        task = {"taskName": "t", "taskType": "NOOP"}
        tasks = balancer.url + "/api/v1/tasks"
        first = nodes[0].submit()
        nodes[0].until_status(first, "COMPLETED")
        clients = [
            Client(tasks + "/statistics", "GET"),
            Client(f"{tasks}/{first}", "GET"),
            Client(tasks, "POST", task, "a"),
            Client(tasks, "POST", task, "b"),
        ]
        for client in clients:
            client.start()
        answered = lambda least: all(client.answers.total() >= least for client in clients)
        until(lambda: answered(100), "both nodes are in use")
        nodes[0].stop(signal.SIGKILL)
        seen = max(client.answers.total() for client in clients)
        until(lambda: answered(seen + 100), "the other node carries on")
        stored = 1
        for client, good in zip(clients, [200, 200, 201, 201]):
            answers = client.stop()
            assert set(answers) == {good}, (client.url, client.key, answers)
            stored += answers[201]
        # What nginx asked the other node again was stored once.
        until(lambda: total(nodes[1]) == stored, f"{stored} tasks are there, each once")


def a_node_that_drains_is_passed_over():
    with two_nodes() as (folder, nodes), Balancer(folder, nodes) as balancer:
        # A running task keeps the node in its drain.
        long = nodes[0].submit("SLEEP", payload={"ms": 4000})
        nodes[0].until_status(long, "RUNNING")
        client = Client(balancer.url + "/api/v1/tasks", "POST",
                        {"taskName": "t", "taskType": "NOOP"}, "drain")
        client.start()
        until(lambda: client.answers.total() > 50, "it is in use")
        assert nodes[0].stop() == 0
        seen = client.answers.total()
        until(lambda: client.answers.total() > seen + 50, "the other node carries on")
        answers = client.stop()
        assert set(answers) == {201}, answers


def a_refused_request_takes_no_node_away_from_others():
    """A 503 counted as a node's failure, and where it was the last node all requests got 502."""
    with two_nodes() as (folder, nodes), Balancer(folder, nodes) as balancer:
        long = nodes[1].submit("SLEEP", payload={"ms": 4000})
        nodes[1].until_status(long, "RUNNING")
        nodes[0].stop(signal.SIGKILL)
        tasks = balancer.url + "/api/v1/tasks"
        task = {"taskName": "t", "taskType": "NOOP"}
        until(lambda: call(tasks, "POST", task)[0] == 201, "the dead node is left out")
        nodes[1].process.terminate()
        until(lambda: call(tasks, "POST", task)[0] == 503, "the other one refuses")
        for number in range(10):
            # The last word may be that of the dead one.
            refused = call(tasks, "POST", task, {"Idempotency-Key": f"k{number}"})[0]
            assert refused in (502, 503), refused
            assert call(f"{tasks}/{long}")[0] == 200, "reads go on"


def behind_tls_the_same_holds_and_plain_requests_are_sent_on():
    with two_nodes() as (folder, nodes):
        tls = pathlib.Path(folder, "nginx", "tls")
        shutil.copytree(FILES, tls.parent)
        tls.mkdir(exist_ok=True)
        subprocess.run(
            [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", tls / "tls.key", "-out", tls / "tls.crt"],
            check=True, capture_output=True,
        )
        with Balancer(folder, nodes, "tls.conf") as balancer:
            port = balancer.secure.split(":")[1]
            done = subprocess.run(
                [need("curl"), "-sS", "--fail", "--cacert", tls / "tls.crt", "--resolve",
                 f"localhost:{port}:127.0.0.1", "-D", "-",
                 f"https://localhost:{port}/actuator/health/readiness"],
                capture_output=True, text=True,
            )
            assert '"UP"' in done.stdout, done.stdout + done.stderr
            assert "strict-transport-security" in done.stdout.lower(), done.stdout
            status, _, heads = call(balancer.url + "/api/v1/tasks?size=1")
            assert status == 308 and heads["Location"].startswith("https://"), heads


if __name__ == "__main__":
    check(
        the_files_hold_together_and_a_wrong_one_is_found,
        requests_go_to_both_nodes_in_turn_and_a_person_stays_with_one,
        when_a_node_is_killed_nothing_fails_that_may_be_asked_twice,
        a_node_that_drains_is_passed_over,
        a_refused_request_takes_no_node_away_from_others,
        behind_tls_the_same_holds_and_plain_requests_are_sent_on,
    )
