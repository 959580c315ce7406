#!/usr/bin/env python3
"""The API under requests made up from its own document, by schemathesis: whatever is sent, no
answer is a 5xx, of a status or form that is not documented, or against its schema.

TASKSCHEDULER_FUZZ_SECONDS makes it longer, TASKSCHEDULER_FUZZ_SEED makes up other requests."""

import os
import pathlib
import subprocess
import tempfile

from scene import CACHE, ROOT, Server, check, clean_environment, tool
from stores import Postgres

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = int(os.environ.get("TASKSCHEDULER_FUZZ_SECONDS", "45"))
SEED = os.environ.get("TASKSCHEDULER_FUZZ_SEED", "1")
TOKEN = "for-the-fuzzer-only-1"


def attack(document, seconds, *options, fails_with=None):
    """Sends requests for so long; fails where the server answers what it should not, or, where
    that is looked for, does not find it."""
    program = tool("st", "schemathesis==4.32.5")
    command = [
        program, "--config-file", HERE / "fuzz_rules.toml", "run", document,
        "--max-time", seconds, "--seed", SEED, "--request-timeout", 15, "--no-color",
        "--generation-database", "none", "--continue-on-failure", "--warnings", "off", *options,
    ]
    environment = clean_environment(SCHEMATHESIS_HOOKS="fuzz_hooks", PYTHONPATH=str(HERE))
    done = subprocess.run([str(word) for word in command], cwd=CACHE, env=environment,
                          capture_output=True, text=True, timeout=seconds + 120)
    said = done.stdout + done.stderr
    if fails_with:
        assert done.returncode == 1 and fails_with in said, said
        return
    assert done.returncode == 0, said
    sent = next(line for line in said.splitlines() if " generated" in line)
    operations = next(line for line in said.splitlines() if "Tested:" in line)
    print(f"{sent.strip()}, operations {operations.strip().lower()}", flush=True)
    number = int(sent.split()[0].replace(",", ""))
    assert number > 20 * seconds, f"so few requests show nothing: {sent}"


def stays_sound(server):
    """It is well, has made no mistake that it knows of, and ends as it should."""
    assert server.call("/actuator/health", headers={"Host": "localhost"})[0] == 200
    assert server.stop() == 0
    wrong = [line for line in server.lines if "panicked" in line or " ERROR " in line]
    assert not wrong, wrong[:20]


def with_the_embedded_store_every_answer_is_documented():
    with tempfile.TemporaryDirectory() as folder:
        with Server(pathlib.Path(folder, "data")) as server:
            attack(server.url + "/openapi.json", SECONDS, "--exclude-checks", "ignored_auth")
            stays_sound(server)


def with_postgresql_every_answer_is_documented():
    with tempfile.TemporaryDirectory() as folder, Postgres(folder, "fsync=off") as postgres:
        data = pathlib.Path(folder, "data")
        with Server(data, "--database-url", postgres.url) as server:
            attack(server.url + "/openapi.json", SECONDS, "--exclude-checks", "ignored_auth")
            stays_sound(server)


def with_tokens_none_of_them_can_be_left_out():
    variables = {"TASK_SCHEDULER_API_TOKENS": f"fuzzer:admin:{TOKEN}"}
    with tempfile.TemporaryDirectory() as folder:
        with Server(pathlib.Path(folder, "data"), variables=variables) as server:
            attack(server.url + "/openapi.json", SECONDS // 3, "-H", f"Authorization: Bearer {TOKEN}")
            assert not any(TOKEN in line for line in server.lines)
            stays_sound(server)


def an_answer_that_is_not_documented_is_found():
    """The same attack, on a document that lacks a status."""
    text = (ROOT / "src/api/docs/openapi.json").read_text()
    wrong = text.replace('"404": {"$ref": "#/components/responses/Missing"},', "")
    assert wrong != text
    with tempfile.TemporaryDirectory() as folder:
        document = pathlib.Path(folder, "wrong.json")
        document.write_text(wrong)
        with Server(pathlib.Path(folder, "data")) as server:
            options = ["--exclude-checks", "ignored_auth", "--include-operation-id", "showTask"]
            attack(document, 3, *options, "--url", server.url,
                   fails_with="Undocumented status code")


if __name__ == "__main__":
    check(
        with_the_embedded_store_every_answer_is_documented,
        with_postgresql_every_answer_is_documented,
        with_tokens_none_of_them_can_be_left_out,
        an_answer_that_is_not_documented_is_found,
    )
