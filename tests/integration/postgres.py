"""A real PostgreSQL for tests: initialised in a temporary folder, reached through a socket there, stopped at the end."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INSTALL = "apt-get install -y postgresql"


def binaries() -> Path:
    "Where initdb and pg_ctl are: Debian keeps them off the path"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    if on_path: return Path(on_path).parent
    return found[0].parent if found else pytest.skip(f"PostgreSQL (initdb, pg_ctl) is missing; install it: {INSTALL}")


def as_postgres(*command: str) -> None:
    "Run a program of the server, which refuses to be root"
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.getuid() == 0 else []
    ended = subprocess.run([*user, *command], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="session")
def postgres():
    "What to connect with, without a database's name: an empty server whose owner may do everything"
    programs, started = binaries(), False
    home = Path(tempfile.mkdtemp(prefix="pg"))       # a socket's path may have 107 characters, and pytest's folders belong to one user alone
    try:
        home.chmod(0o755)
        if os.getuid() == 0: shutil.chown(home, "postgres", "postgres")
        data = home / "data"
        as_postgres(str(programs / "initdb"), "-D", str(data), "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        as_postgres(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(home / "log"), "-o", f"-c listen_addresses= -k {home} -c fsync=off -c shared_buffers=16MB -c max_connections=20", "start")
        started = True
        yield f"host={home} user=owner"
    finally:
        if started: as_postgres(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)
