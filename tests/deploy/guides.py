#!/usr/bin/env python3
"""The guides, followed to the letter: the commands are those that stand in them."""

import os
import pathlib
import re
import subprocess
import tempfile

from scene import ROOT, Server, binary, check, clean_environment
from stores import Postgres


def block(guide, words):
    """The one block of commands of a guide that contains these words."""
    text = (ROOT / guide).read_text()
    [found] = [one for one in re.findall(r"```sh\n(.*?)```", text, re.S) if words in one]
    return found


def follow(commands, folder, postgres=None, **variables):
    """Runs commands as a person would, from the first that fails on no more."""
    programs = pathlib.Path(folder, "programs")
    if not programs.exists():
        programs.mkdir()
        (programs / "taskscheduler").symlink_to(binary())
    path = [str(programs), os.environ["PATH"]]
    if postgres:
        path.insert(0, str(postgres.programs))
    environment = clean_environment(PATH=":".join(path), **variables)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=folder,
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, commands + done.stdout + done.stderr
    return done.stdout


def fill(server):
    """A task that ended, one that waits for a worker, and one that is leased."""
    ended = server.submit("ECHO", payload="hello")
    server.until_status(ended, "COMPLETED")
    waits, leased = server.submit("NOBODYS"), server.submit("LEASED")
    asked = {"workerId": "w", "taskTypes": ["LEASED"], "leaseMs": 3_600_000}
    [lease] = server.call("/api/v1/leases", "POST", asked)[1]["leases"]
    return ended, waits, leased, lease["leaseToken"]


def holds(server, ended, waits, leased, token, lost):
    """What was copied is there, and nothing of what came after it is mixed up with it."""
    shown = server.call(f"/api/v1/tasks/{ended}")[1]
    assert (shown["status"], shown["result"]) == ("COMPLETED", "hello"), shown
    assert server.call(f"/api/v1/tasks/{waits}")[1]["status"] == "QUEUED"
    report = {"leases": [{"leaseToken": token}]}
    [item] = server.call("/api/v1/leases/complete", "POST", report)[1]["leases"]
    assert item.get("lost") is True, item
    server.until_status(leased, "QUEUED")
    assert server.call(f"/api/v1/tasks/{lost}")[0] == 404
    assert server.submit("NOOP") > lost, "no id is given twice"


def a_database_is_copied_and_restored():
    commands = block("docker/README.md", "pg_restore").splitlines(keepends=True)
    copy, restore = commands[0], "".join(commands[1:])
    assert "pg_dump" in copy
    with tempfile.TemporaryDirectory() as folder, Postgres(folder) as postgres:
        postgres.ask("CREATE DATABASE again")
        urls = {"DATABASE_URL": postgres.url,
                "NEW_URL": postgres.url.removesuffix("tasks") + "again"}
        with Server(pathlib.Path(folder, "one"), "--database-url", postgres.url) as server:
            tasks = fill(server)
            follow(copy, folder, postgres, **urls)
            lost = server.submit("NOOP")
        said = follow(restore, folder, postgres, **urls)
        assert "can be used" in said and "fail " not in said, said
        with Server(pathlib.Path(folder, "two"), "--database-url", urls["NEW_URL"]) as server:
            holds(server, *tasks, lost)


def the_embedded_store_is_copied_and_restored():
    guide = "tuning/systemd/README.md"
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, "taskscheduler")
        # This machine has neither that user nor a systemd that runs.
        start = "sudo() { \"$@\"; }; systemctl() { echo \"systemctl $*\"; }\n"

        def here(commands):
            commands = commands.replace("/var/lib/taskscheduler", str(data))
            commands = commands.replace("-u taskscheduler ", "")
            return start + commands.replace(" -o taskscheduler -g taskscheduler", "")

        with Server(data) as server:
            tasks = fill(server)
            follow(here(block(guide, "taskscheduler backup")), folder)
            lost = server.submit("NOOP")
        [copy] = data.glob("copy-*.db")
        copy.rename(pathlib.Path(folder, "copy.db"))
        said = follow(here(block(guide, "migrate restored")), folder)
        assert "can be used" in said and "systemctl start taskscheduler" in said, said
        with Server(data) as server:
            holds(server, *tasks, lost)


if __name__ == "__main__":
    check(
        a_database_is_copied_and_restored,
        the_embedded_store_is_copied_and_restored,
    )
