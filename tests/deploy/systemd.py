#!/usr/bin/env python3
"""The unit as systemd reads it, and the program under the very filter of system calls that the unit
asks for: it has to work, and its cores have to be pinned all the same."""

import os
import pathlib
import re
import subprocess
import tempfile

from scene import ROOT, Process, binary, check, clean_environment, install, need, until

FILES = ROOT / "tuning" / "systemd"
UNIT = FILES / "taskscheduler.service"
SCORE_MAX = 2.0

# Loads a filter and becomes the program. Debian's own Python has the binding.
LAUNCH = """
import errno, os, seccomp, sys
allowed, program = sys.argv[1].split(","), sys.argv[2:]
filter = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for name in allowed:
    try:
        filter.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, ValueError):
        pass  # a call that this machine does not have
filter.load()
os.execv(program[0], program)
"""


def analyze(*arguments):
    command = [need("systemd-analyze", "systemd"), *arguments]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def score(text):
    """systemd's own judgement of a unit, from 0 (closed) to 10 (open)."""
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder, "taskscheduler.service")
        unit.write_text(text)
        said = analyze("security", "--offline=true", "--no-pager", unit).stdout
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])


def the_unit_is_closed_enough_and_the_judge_can_tell():
    text = UNIT.read_text()
    assert score(text) <= SCORE_MAX, score(text)
    opened = "\n".join(line for line in text.splitlines()
                       if not line.startswith(("Protect", "Private", "SystemCall", "Capab")))
    assert score(opened) > SCORE_MAX


def systemd_has_nothing_to_complain_about():
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder, "taskscheduler.service")
        # The program is not installed here; everything else is judged as it is.
        text = UNIT.read_text().replace("/usr/bin/taskscheduler", "/bin/true")
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
        unit.write_text(text)
        done = analyze("verify", unit)
        assert done.returncode == 0 and not done.stderr.strip(), done.stderr
        unit.write_text(text.replace("WatchdogSec=", "WatchdogSeconds="))
        assert "WatchdogSeconds" in analyze("verify", unit).stderr
        for example in sorted((FILES / "taskscheduler.service.d").glob("*.example")):
            unit.write_text(text)
            drop_in = pathlib.Path(folder, "taskscheduler.service.d", "example.conf")
            drop_in.parent.mkdir(exist_ok=True)
            # What is commented out is held against systemd as well.
            lines = example.read_text().splitlines()
            drop_in.write_text("\n".join(re.sub(r"^#(\w+=)", r"\1", line) for line in lines))
            done = analyze("verify", unit)
            assert done.returncode == 0 and not done.stderr.strip(), (example, done.stderr)


def calls_of(sets):
    """All system calls of these sets, some of which hold others."""
    found, todo = set(), list(sets)
    while todo:
        name = todo.pop()
        if not name.startswith("@"):
            found.add(name)
            continue
        said = analyze("syscall-filter", "--no-pager", name).stdout
        lines = [line.strip() for line in said.splitlines()[1:]]
        todo += [line for line in lines if line and not line.startswith("#")]
    return found


def allowed(text):
    """What the unit lets through: its first list, less what later lines take out."""
    calls = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        listed = calls_of(line.removeprefix("~").split())
        calls = calls - listed if line.startswith("~") else calls | listed
    assert len(calls) > 100, calls
    return calls


class Confined(Process):
    """The program under a filter, on all CPUs but one, which are its cores."""

    def __init__(self, folder, calls, cores):
        ensure_binding()
        # What systemd itself calls between the filter and the program.
        calls = ",".join(sorted(calls | {"execve"}))
        command = ["/usr/bin/python3", "-c", LAUNCH, calls, binary(), "serve", "--listen",
                   "127.0.0.1:0", "--data", pathlib.Path(folder, "data"), "--cores", cores]
        super().__init__(command, "taskscheduler", env=clean_environment(), cwd=folder)
        line = self.hear("serving http://")
        self.url = line.split("serving ")[1].split(" ")[0]

    def pinned(self):
        """The CPUs that each core thread may use."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("core-"):
                status = (task / "status").read_text()
                found[name] = re.search(r"^Cpus_allowed_list:\s*(\S+)", status, re.M)[1]
        return found


def under_the_units_filter_it_works_and_its_cores_are_pinned():
    with tempfile.TemporaryDirectory() as folder:
        calls = allowed(UNIT.read_text())
        assert "sched_setaffinity" in calls and "mount" not in calls and "ptrace" not in calls
        cpus = sorted(os.sched_getaffinity(0))[:2]
        with Confined(folder, calls, ",".join(map(str, cpus))) as server:
            expected = {f"core-{n}": str(cpu) for n, cpu in enumerate(cpus)}
            until(lambda: server.pinned() == expected, f"{expected}, not {server.pinned()}")
            done = subprocess.run(
                [binary(), "submit", "ECHO", "--payload", "hello", "--wait", "--server", server.url],
                env=clean_environment(), capture_output=True, text=True,
            )
            assert done.returncode == 0, done
            backup = subprocess.run(
                [binary(), "backup", "--data", f"{folder}/data", f"{folder}/copy.db"],
                env=clean_environment(), capture_output=True, text=True,
            )
            assert backup.returncode == 0, backup
            assert server.stop() == 0, "it drains and ends well under the filter"
            assert not [line for line in server.lines if "WARN" in line], server.lines


def the_usual_advice_to_leave_out_resources_would_unpin_every_core():
    """What the unit's comment says, so that nobody adds it for a better score."""
    with tempfile.TemporaryDirectory() as folder:
        calls = allowed(UNIT.read_text() + "\nSystemCallFilter=~@resources\n")
        cpu = sorted(os.sched_getaffinity(0))[0]
        with Confined(folder, calls, f"{cpu},") as server:
            server.hear("could not be pinned")


def ensure_binding():
    done = subprocess.run(["/usr/bin/python3", "-c", "import seccomp"], capture_output=True)
    if done.returncode != 0:
        install("python3", "python3-seccomp")


def the_user_and_the_folders_are_made():
    with tempfile.TemporaryDirectory() as root:
        etc = pathlib.Path(root, "etc")
        etc.mkdir()
        for name in ["passwd", "group", "shadow", "gshadow"]:
            (etc / name).write_text("root:x:0:0::/:/bin/sh\n" if name == "passwd" else "")
        (etc / "group").write_text("root:x:0:\n")
        users = FILES / "taskscheduler.sysusers"
        subprocess.run([need("systemd-sysusers", "systemd"), f"--root={root}", users], check=True,
                       capture_output=True)
        assert "taskscheduler" in (etc / "passwd").read_text()
        subprocess.run([need("systemd-tmpfiles", "systemd"), f"--root={root}", "--create",
                        FILES / "taskscheduler.tmpfile"], check=True, capture_output=True)
        home = pathlib.Path(root, "var/lib/taskscheduler").stat()
        assert home.st_mode & 0o777 == 0o700 and home.st_uid != 0


if __name__ == "__main__":
    check(
        the_unit_is_closed_enough_and_the_judge_can_tell,
        systemd_has_nothing_to_complain_about,
        under_the_units_filter_it_works_and_its_cores_are_pinned,
        the_usual_advice_to_leave_out_resources_would_unpin_every_core,
        the_user_and_the_folders_are_made,
    )
