"""Looks back, last of all, at a run of `.ci/run`: the demo ended well, the checks before pytest held, and nothing tried to leave this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["GENAI_FACTORY_CI_FOLDER"])  # conftest leaves this file out where it is not set
LOG = FOLDER / "sink.log"


def test_the_checks_before_pytest_held(): assert (FOLDER / "checked").exists(), "see the output of `make check` above"


def test_the_demo_ended_well():
    result = json.loads((FOLDER / "demo.json").read_text(encoding="utf-8"))
    assert [job["name"] for job in result["jobs"]] == ["ingest", "prepare", "sft", "align", "evaluate", "release"]
    assert {job["status"] for job in result["jobs"]} == {"succeeded"} and all(job["run_id"] for job in result["jobs"])
    assert result["verdict"] == "promote"


def test_nothing_tried_to_leave_this_machine():
    assert LOG.read_text(encoding="utf-8").splitlines() == ["ready"]
    # and the watch was awake: a name and a page that are asked for now are noted
    ask = "import socket, urllib.request as u\nfor f in (lambda: socket.gethostbyname('awake.example'), lambda: u.urlopen('http://awake.example/x')):\n    try: f()\n    except OSError: pass"
    subprocess.run([sys.executable, "-c", ask], check=True, timeout=60)
    noted = LOG.read_text(encoding="utf-8").splitlines()
    assert "proxy GET http://awake.example/x HTTP/1.1" in noted
    if (FOLDER / "isolated").exists():
        assert "dns awake.example" in noted
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
