"""The code in the README runs as it is written there."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from genai_factory.testing.provider import ProviderServer, call

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def block(word: str) -> str:
    "The one block that holds a word"
    (found,) = [code for code in BLOCKS if word in code]
    return found


def run(code: str, folder: Path, **variables: str) -> str:
    "What the code prints, in a process and a workspace of its own"
    env = {**os.environ, "GENAI_FACTORY_WORKSPACE": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("word", ["rag_prompt", "make_agent"])
def test_ten_lines_are_ten_lines(word): assert sum(bool(line.strip()) for line in block(word).splitlines()) <= 10


def test_the_assistant_answers_with_its_source(tmp_path):
    said = run(block("rag_prompt"), tmp_path)
    assert "1.1%" in said.splitlines()[0] and re.search(r"personal-loan\.md \[\d+:\d+\]", said)


def test_the_agent_calls_both_tools(tmp_path):
    asked = [call("days_until", "c1", day="2030-01-01"), call("calculator", "c2", expression="12000 * 3 / 100")]
    with ProviderServer(asked, "Done: 360.") as server:
        said = run(block("make_agent"), tmp_path, OPENAI_API_KEY="k", OPENAI_BASE_URL=server.settings()["base_url"])
    results = [m["content"] for m in server.requests[-1].messages if m["role"] == "tool"]
    assert said.startswith("Done: 360. answered 30") and len(results) == 2
    assert int(results[0]) == (date(2030, 1, 1) - date.today()).days and "360" in results[1]
