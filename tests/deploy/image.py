#!/usr/bin/env python3
"""What the image holds, made by the very script that the Dockerfile calls, and run as a container
runs it: this root and no other, read-only, as a user without a name, with its own network."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile

from scene import CACHE, ROOT, Process, check, clean_environment, need, until

IMAGE = CACHE / "image"
PATH = "/usr/bin/taskscheduler"
PROGRAM = IMAGE / PATH.lstrip("/")

# Runs in namespaces of its own. The root is the image, read-only but for /data and /tmp; the
# network is one loopback with a name server on it that knows one name.
CONTAINER = r"""
set -eu
image=$1 data=$2
shift 2
ip link set lo up
mount --bind "$image" "$image"
mount --bind "$data" "$image/data"
mount -o remount,bind,ro "$image"
exec chroot --userspec=10001:10001 "$image" "$@"
"""


def built():
    """The directory that becomes the image; from an unoptimised build, which takes less time."""
    target = dict(os.environ, CARGO_TERM_PROGRESS_WHEN="never")
    done = subprocess.run([ROOT / "docker" / "build", IMAGE, "dev"], env=target,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return IMAGE


def the_dockerfile_calls_the_script_that_is_tested_here():
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    runs = re.findall(r"^RUN (.*)$", dockerfile, re.M)
    assert runs == ["docker/build /image"], runs
    assert "FROM scratch" in dockerfile and "USER 10001:10001" in dockerfile
    entry = re.search(r'^ENTRYPOINT \["(.*)"\]$', dockerfile, re.M)[1]
    probe = re.search(r'CMD \["(/.*?)", "health", "--ready"', dockerfile)[1]
    assert entry == probe == PATH


def it_holds_the_binary_certificates_and_configuration_and_nothing_else():
    built()
    files = sorted(str(path.relative_to(IMAGE)) for path in IMAGE.rglob("*") if not path.is_dir())
    profiles = ["dev", "docker", "kubernetes", "prod"]
    expected = [f"etc/taskscheduler/taskscheduler-{name}.toml" for name in profiles]
    expected += ["etc/taskscheduler/taskscheduler.toml", "etc/ssl/certs/ca-certificates.crt"]
    assert files == sorted([*expected, PATH.lstrip("/")]), files
    data = (IMAGE / "data").stat()
    assert (data.st_uid, data.st_mode & 0o777) == (10001, 0o700)
    certificates = (IMAGE / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert certificates.count("BEGIN CERTIFICATE") > 50
    heads = subprocess.run([need("readelf", "binutils"), "-lW", PROGRAM],
                           capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in heads, "it needs a loader, and the image has none"


class Container(Process):
    """The program in the image; `join` runs it once more in the same container."""

    def __init__(self, data, *arguments, **variables):
        os.chown(data, 10001, 10001)
        need("ip", "iproute2")
        self.variables = clean_environment(**variables)
        command = ["unshare", "--net", "--mount", "sh", "-c", CONTAINER, "sh", IMAGE, data]
        super().__init__([*command, PATH, *arguments], "the container", env=self.variables)

    def join(self, *arguments):
        """As Docker runs the check of a container's health."""
        command = ["nsenter", "--target", self.process.pid, "--net", "--root", "--wd",
                   "--setuid", "10001", "--setgid", "10001", PATH, *arguments]
        return subprocess.run([str(word) for word in command], env=self.variables,
                              capture_output=True, text=True)


def it_serves_from_a_read_only_root_as_nobody_in_particular():
    built()
    with tempfile.TemporaryDirectory() as data:
        refused = Container(data, "serve")
        with refused:
            # It listens to everyone in the container, so it wants tokens or to be told.
            assert refused.process.wait(30) == 4, refused.lines
        with Container(data, "serve", TASK_SCHEDULER_API_INSECURE_NO_AUTH="true") as server:
            server.hear("serving http://0.0.0.0:8080")
            healthy = lambda: server.join("health", "--ready").returncode == 0
            until(healthy, "the container is healthy")
            done = server.join("submit", "ECHO", "--payload", "hello", "--wait")
            assert done.returncode == 0 and "COMPLETED" in done.stdout, done
            status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
            assert re.search(r"^Uid:\s+10001\s", status, re.M), status
            assert server.stop() == 0
        assert any(pathlib.Path(data).iterdir()), "the volume holds the store"


def names_of_other_containers_are_found_in_hosts_and_by_name_server():
    """A program without libraries has to find names by itself; compose's names come from a name
    server, those of Kubernetes' own host aliases from /etc/hosts."""
    built()
    answer = r"""
import socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("name server", flush=True)
while True:
    asked, client = server.recvfrom(512)
    end = 12
    labels = []
    while asked[end]:
        labels.append(asked[end + 1:end + 1 + asked[end]].decode())
        end += asked[end] + 1
    kind = struct.unpack(">H", asked[end + 1:end + 3])[0]
    known = ".".join(labels) == "node-2" and kind == 1
    head = asked[:2] + struct.pack(">HHHHH", 0x8180, 1, int(known), 0, 0)
    address = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + bytes([127, 0, 0, 1])
    server.sendto(head + asked[12:end + 5] + (address if known else b""), client)
"""
    with tempfile.TemporaryDirectory() as folder:
        data, etc = pathlib.Path(folder, "data"), pathlib.Path(folder, "etc")
        data.mkdir()
        subprocess.run(["cp", "-r", IMAGE / "etc", etc], check=True)
        (etc / "hosts").write_text("127.0.0.1 localhost node-1\n")
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        # Docker puts both files into every container.
        script = CONTAINER.replace("mount -o remount", f'mount --bind "{etc}" "$image/etc"\n'
                                   f"python3 -c '{answer}' &\nmount -o remount", 1)
        os.chown(data, 10001, 10001)
        variables = clean_environment(TASK_SCHEDULER_API_INSECURE_NO_AUTH="true",
                                      TASK_SCHEDULER_API_ALLOWED_HOSTS="*")
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
                   script, "sh", IMAGE, data, PATH, "serve"]
        with Process(command, "the container", env=variables) as server:
            server.hear("name server")
            server.hear("serving http://0.0.0.0:8080")
            children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
            inner = children.read_text().split()[0]

            def reaches(name):
                join = ["nsenter", "--target", inner, "--net", "--root", "--wd", PATH,
                        "health", "--ready", "--server", f"http://{name}:8080"]
                return subprocess.run(join, env=variables, capture_output=True, text=True)

            for name in ["localhost", "node-1", "node-2"]:
                until(lambda: reaches(name).returncode == 0, f"{name} is found: {reaches(name)}")
            assert reaches("node-3").returncode == 5, reaches("node-3")
            # Its change of user took from it what would have ended it with its parent.
            os.kill(int(inner), signal.SIGTERM)
            server.process.wait(30)


if __name__ == "__main__":
    check(
        the_dockerfile_calls_the_script_that_is_tested_here,
        it_holds_the_binary_certificates_and_configuration_and_nothing_else,
        it_serves_from_a_read_only_root_as_nobody_in_particular,
        names_of_other_containers_are_found_in_hosts_and_by_name_server,
    )
