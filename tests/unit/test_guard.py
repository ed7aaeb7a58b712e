"""The guards in conftest hold: seen refusing, and seen letting this machine through."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = "pytester"
CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("reach", [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
    lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.gethostbyname("example.org"),
])
def test_leaving_this_machine_is_refused_and_noted(reach, network_attempts):
    with pytest.raises(OSError, match="tests reach this machine only"): reach()
    assert len(network_attempts) == 1
    network_attempts.clear()


def test_this_machine_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])) as client: client.sendall(b"x")
        assert server.accept()[0].recv(1) == b"x"


def inner(pytester: pytest.Pytester, source: str, **environment: str):
    "Run a test file under our conftest in a process of its own"
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(source)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=pytester.path, capture_output=True, text=True,
                          env={k: v for k, v in os.environ.items() if k not in ("CI", "GENAI_FACTORY_CI_FOLDER", "GENAI_FACTORY_PUBLIC_DATA")} | environment).stdout


def test_a_swallowed_attempt_still_fails_its_test(pytester):
    out = inner(pytester, "import socket\ndef test_quiet():\n    try: socket.create_connection(('192.0.2.1', 80))\n    except OSError: pass\n")
    assert "1 error" in out and "this test tried to leave this machine: look up 192.0.2.1" in out


MISSING = "def test_needs(tool): tool('no-such-program', 'apt-get install no-such-program')\ndef test_data(public_data): pass\n"
OTHER = "import pytest\ndef test_other(): pytest.skip('only on a Tuesday')\n"


def test_lacks_are_skipped_with_the_command_and_fail_in_ci(pytester):
    assert "2 skipped" in inner(pytester, MISSING)
    out = inner(pytester, MISSING + OTHER, CI="true")
    assert "1 failed" in out and "1 error" in out and "1 skipped" in out
    assert "must not be skipped in CI" in out and "apt-get install no-such-program" in out
