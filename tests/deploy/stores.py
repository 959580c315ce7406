"""PostgreSQL and Redis of a check's own: on loopback, empty, gone with it, careless of the disk."""

import glob
import os
import pathlib
import subprocess

from scene import Process, free_port, install, need


class Postgres(Process):
    """A PostgreSQL server; it refuses to run as root."""

    def __init__(self, folder, *settings):
        if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
            install("postgresql")
        self.programs = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        data, self.port = pathlib.Path(folder, "postgres"), free_port()
        data.mkdir()
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if user:
            subprocess.run(["chown", "postgres", data], check=True)
            os.chmod(folder, 0o755)
        make = [self.programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run([*user, *make], check=True, capture_output=True)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        options = ["listen_addresses=127.0.0.1", f"unix_socket_directories={data}", *settings]
        options = [word for option in options for word in ("-c", option)]
        command = [*user, self.programs / "postgres", "-D", data, "-p", self.port, *options]
        super().__init__(command, "postgres")
        self.hear("ready to accept connections")
        self.ask("CREATE DATABASE tasks")
        self.url = self.url.removesuffix("postgres") + "tasks"

    def ask(self, statement):
        """What one statement answers, as text."""
        command = [self.programs / "psql", "-qAtX", self.url, "-c", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Redis(Process):
    """A Redis server."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        command = [need("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", folder]
        super().__init__(command, "redis-server")
        self.hear("eady to accept connections")
