"""What the deployment checks share: servers on loopback that they start and end themselves, plain
HTTP, waiting with a deadline, and tools that are installed where they are missing."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where tools and virtual environments are kept between runs.
CACHE = ROOT / "target" / "deploy"


def binary():
    """The program under test, built if nobody names one."""
    named = os.environ.get("TASKSCHEDULER_BINARY")
    if named:
        return str(pathlib.Path(named).resolve())
    built = ROOT / "target" / "debug" / "taskscheduler"
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=ROOT, check=True)
    return str(built)


def need(program, package=None):
    """The path of a program; its Debian package is installed if it is missing."""
    paths = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = shutil.which(program, path=paths)
    if found is None:
        install(package or program)
        found = shutil.which(program, path=paths)
    assert found, f"{program} is missing; please install {package or program}"
    return found


def install(*packages):
    """Installs Debian packages without starting what they bring."""
    print("installing", *packages, flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    quiet = dict(check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], **quiet
    )


def tool(program, requirement):
    """A program from PyPI, in a virtual environment of its own."""
    home = CACHE / "venv" / requirement.replace("=", "")
    path = home / "bin" / program
    if not path.exists():
        print("installing", requirement, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        made = subprocess.run(["python3", "-m", "venv", home], stdout=subprocess.DEVNULL)
        if made.returncode != 0:
            install("python3-venv")
            subprocess.run(["python3", "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", requirement], check=True)
    return str(path)


def until(condition, what, seconds=30):
    """What `condition` gives once that is true; fails after so many seconds."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while True:
        try:
            found = condition()
        except (OSError, http.client.HTTPException) as error:
            found, what_then = None, f"{what} ({error})"
        else:
            what_then = what
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what_then}"
        pause.wait(0.05)


def free_port():
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(url, method="GET", body=None, headers=None, timeout=10):
    """One request; the status, the answer (JSON where it is JSON) and its heads."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        heads = dict(headers or {})
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            heads.setdefault("Content-Type", "application/json")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target or "/", body, heads)
        answer = connection.getresponse()
        text = answer.read().decode()
        if "json" in (answer.headers.get("Content-Type") or ""):
            text = json.loads(text)
        return answer.status, text, answer.headers
    finally:
        connection.close()


class Process:
    """A program that ends with the `with` block; its output is shown if that fails."""

    def __init__(self, command, name=None, **options):
        self.name = name or pathlib.Path(command[0]).name
        self.lines, self.heard = [], threading.Condition()
        options.setdefault("env", clean_environment())
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", **options,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            with self.heard:
                self.lines.append(line.rstrip("\n"))
                self.heard.notify_all()
        # Whoever waits for words that will never come is told.
        self.process.wait()
        with self.heard:
            self.heard.notify_all()

    def hear(self, words, seconds=60):
        """The first line that contains `words`."""
        def found():
            return next((line for line in self.lines if words in line), None)

        with self.heard:
            done = lambda: found() or self.process.poll() is not None
            self.heard.wait_for(done, seconds)
        line = found()
        assert line, f"{self.name} never said {words!r}:\n" + "\n".join(self.lines[-40:])
        return line

    def stop(self, how=signal.SIGTERM, seconds=40):
        """Ends it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # Politely first: some have processes of their own to end.
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(f"--- {self.name} said:", *self.lines[-40:], sep="\n", flush=True)


def clean_environment(**more):
    """The environment without anything that would configure a server."""
    ours = ("TASK_SCHEDULER_", "SPRING_", "SERVER_PORT", "DATABASE_URL", "REDIS_URL", "NOTIFY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **more}


class Server(Process):
    """A taskscheduler on a data directory, on a port that the kernel chooses."""

    def __init__(self, data, *arguments, listen="127.0.0.1:0", variables=None):
        command = [binary(), "serve", "--listen", listen, "--data", data, *arguments]
        options = dict(env=clean_environment(**(variables or {})), cwd=pathlib.Path(data).parent)
        super().__init__(command, **options)
        line = self.hear("serving http://")
        self.url = line.split("serving ")[1].split(" ")[0]

    def call(self, path, method="GET", body=None, **more):
        return call(self.url + path, method, body, **more)

    def submit(self, task_type="NOOP", **fields):
        task = {"taskName": "t", "taskType": task_type, **fields}
        status, answer, _ = self.call("/api/v1/tasks", "POST", task)
        assert status == 201, answer
        return answer["id"]

    def until_status(self, task, *statuses):
        def there():
            found = self.call(f"/api/v1/tasks/{task}")[1]
            return found if found.get("status") in statuses else None

        return until(there, f"task {task} becomes {statuses}")


class Load:
    """Submits batches in the background until the block ends; a refusal fails it."""

    def __init__(self, server, make, pause=0.05):
        self.server, self.make, self.pause = server, make, pause
        self.over, self.wrong = threading.Event(), []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.over.wait(self.pause):
            status, answer, _ = self.server.call("/api/v1/tasks/batch", "POST", self.make())
            if status != 201:
                self.wrong.append((status, answer))
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(20)
        assert kind is not None or not self.wrong, self.wrong


def check(*checks):
    """Runs checks, each a function whose name says what holds; ends the program."""
    import sys
    import traceback

    wanted = [one for one in checks if not sys.argv[1:] or one.__name__ in sys.argv[1:]]
    failed = 0
    for one in wanted:
        began = time.monotonic()
        try:
            one()
            word = "ok"
        except Exception:
            traceback.print_exc()
            word, failed = "FAILED", failed + 1
        seconds = time.monotonic() - began
        print(f"{word}: {one.__name__.replace('_', ' ')} ({seconds:.1f} s)", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not wanted else 0)
