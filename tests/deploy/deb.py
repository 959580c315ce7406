#!/usr/bin/env python3
"""The Debian package: built by the script that people use, taken apart, and started from what it
holds. Nothing is installed on this machine."""

import functools
import pathlib
import re
import subprocess
import tempfile

from scene import ROOT, Process, check, clean_environment, need

SCRIPT = ROOT / "tuning" / "systemd" / "package"


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@functools.cache
def built():
    run(SCRIPT)
    [package] = (ROOT / "target" / "debian").glob("taskscheduler_*.deb")
    return package


def unpacked(folder):
    package = built()
    need("dpkg-deb", "dpkg")
    root, control = pathlib.Path(folder, "root"), pathlib.Path(folder, "control")
    run("dpkg-deb", "-x", package, root)
    run("dpkg-deb", "-e", package, control)
    return root, control


def it_holds_everything_that_a_machine_without_containers_needs():
    with tempfile.TemporaryDirectory() as folder:
        root, control = unpacked(folder)
        files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        wanted = [
            "usr/bin/taskscheduler",
            "usr/lib/sysusers.d/taskscheduler.conf",
            "usr/lib/tmpfiles.d/taskscheduler.conf",
            "etc/default/taskscheduler",
            "etc/taskscheduler/taskscheduler.toml",
            *[f"etc/taskscheduler/taskscheduler-{name}.toml"
              for name in ("dev", "docker", "kubernetes", "prod")],
            "usr/share/man/man1/taskscheduler.1.gz",
            "usr/share/bash-completion/completions/taskscheduler",
            "usr/share/zsh/vendor-completions/_taskscheduler",
            "usr/share/fish/vendor_completions.d/taskscheduler.fish",
            "usr/share/doc/taskscheduler/README.md",
            "usr/share/taskscheduler/prometheus/alerts.yml",
            "usr/share/taskscheduler/grafana/overview.json",
        ]
        assert not set(wanted) - files, (set(wanted) - files, sorted(files))
        unit = root / next(file for file in files if file.endswith("system/taskscheduler.service"))
        assert unit.read_text() == (ROOT / "tuning/systemd/taskscheduler.service").read_text()
        starts = re.findall(r"^Exec\w+=(\S+)", unit.read_text(), re.M)
        assert starts and all((root / path.lstrip("/")).exists() for path in starts), starts
        kept = (control / "conffiles").read_text().split()
        assert "/etc/taskscheduler/taskscheduler.toml" in kept, kept
        assert "/etc/default/taskscheduler" in kept, kept
        after = (control / "postinst").read_text()
        assert "systemd-sysusers" in after and "taskscheduler.service" in after, after
        assert (control / "prerm").exists() and (control / "postrm").exists()


def the_program_in_it_starts_with_its_own_configuration():
    with tempfile.TemporaryDirectory() as folder:
        root, _ = unpacked(folder)
        program = root / "usr/bin/taskscheduler"
        config = root / "etc/taskscheduler/taskscheduler.toml"
        for profile in ["", "prod", "dev"]:
            variables = clean_environment(TASK_SCHEDULER_PROFILE=profile)
            done = subprocess.run([program, "config", "check", "--config", config], env=variables,
                                  capture_output=True, text=True)
            assert done.returncode == 0, done
        command = [program, "serve", "--config", config, "--listen", "127.0.0.1:0"]
        data = pathlib.Path(folder, "state")
        with Process(command, env=clean_environment(TASK_SCHEDULER_DATA=str(data))) as server:
            url = server.hear("serving http://").split("serving ")[1].split(" ")[0]
            run(program, "health", "--ready", "--server", url)
            said = run(program, "submit", "ECHO", "--payload", "hello", "--wait", "--server", url)
            assert "COMPLETED" in said, said
            assert server.stop() == 0


def its_pages_and_completions_can_be_read():
    with tempfile.TemporaryDirectory() as folder:
        root, _ = unpacked(folder)
        page = root / "usr/share/man/man1/taskscheduler.1.gz"
        text = run("zcat", page)
        assert ".TH" in text and "serve" in text
        run("bash", "-n", root / "usr/share/bash-completion/completions/taskscheduler")


if __name__ == "__main__":
    check(
        it_holds_everything_that_a_machine_without_containers_needs,
        the_program_in_it_starts_with_its_own_configuration,
        its_pages_and_completions_can_be_read,
    )
