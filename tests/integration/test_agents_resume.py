"""Runs that wait for a person and processes that are killed: an approved call is executed once, or its outcome is said to be unknown."""

import signal
import subprocess
import sys

import pytest

from genai_factory.agents.approvals import RunStore
from genai_factory.agents.react import ReactAgent
from genai_factory.agents.runs import Limits
from genai_factory.core.base import UnavailableError
from genai_factory.factory import make_llm
from genai_factory.llms.scripted import ScriptedLLM
from genai_factory.testing.provider import Answer, ProviderServer, call
from genai_factory.tools.toolset import as_tool

PROGRAM = """
import os, signal, sys
from pathlib import Path
from genai_factory.agents.approvals import RunStore
from genai_factory.agents.react import ReactAgent
from genai_factory.llms.scripted import ScriptedLLM, asks
from genai_factory.tools.toolset import as_tool

folder, when, *resumed = sys.argv[1:]
ran = Path(folder, "ran")

def die(moment):
    if when == moment: os.kill(os.getpid(), signal.SIGKILL)

class Store(RunStore):
    def claim(self, *given):
        die("approved")
        said = super().claim(*given)
        die("claimed")
        return said
    def finish(self, *given):
        die("executed")
        super().finish(*given)
        die("stored")

def count(n: int) -> str:
    "Count."
    with ran.open("a") as file: file.write(f"{n}\\n")
    return "counted"

def reply(messages):
    if any(m.role == "tool" for m in messages):
        die("answering")
        return "Done: " + next(m.text for m in messages if m.role == "tool")
    return asks(("count", {"n": 1}))

agent = ReactAgent(ScriptedLLM(reply), [as_tool(count, risk="acts", inline=True)], name="clerk", store=Store(Path(folder, "runs.db")))
if resumed:
    decisions = {resumed[1]: resumed[2] == "approve"} if len(resumed) > 1 else None
    run = agent.resume(resumed[0], decisions)
else: run = agent.run("Count once.")
print(run.id, run.stop_reason, run.pending[0].id if run.pending else "-", run.pending[0].why.split(":")[0] if run.pending else run.answer, sep="|", flush=True)
die("waiting")
"""


@pytest.fixture
def play(tmp_path):
    "Run the program in a process of its own: what it printed, field by field, and how often the tool ran by then"
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    def call(when, *resumed):
        done = subprocess.run([sys.executable, str(file), str(tmp_path), when, *resumed], capture_output=True, text=True, timeout=60)
        assert done.returncode == (-signal.SIGKILL if when != "never" else 0), done.stderr
        ran = tmp_path / "ran"
        return done.stdout.strip().split("|"), len(ran.read_text().split()) if ran.exists() else 0
    return call


def test_a_run_is_killed_while_it_waits_and_goes_on_elsewhere(play):
    (run, reason, call, _), ran = play("waiting")
    assert reason == "approval" and ran == 0
    (_, reason, _, answer), ran = play("never", run, call, "approve")
    assert (reason, answer, ran) == ("answered", "Done: counted", 1)
    (_, reason, _, answer), ran = play("never", run)
    assert (reason, answer, ran) == ("answered", "Done: counted", 1)       # over is over


@pytest.mark.parametrize("moment", ["approved", "stored", "answering"])
def test_a_kill_between_approval_and_answer_leaves_exactly_one_execution(play, moment):
    (run, _, call, _), _ = play("waiting")
    play(moment, run, call, "approve")
    (_, reason, _, answer), ran = play("never", run)                        # the decision was written down: nobody is asked again
    assert (reason, answer, ran) == ("answered", "Done: counted", 1)


@pytest.mark.parametrize("moment, before", [("claimed", 0), ("executed", 1)])
def test_a_kill_around_the_execution_is_never_repeated_silently(play, moment, before):
    (run, _, call, _), _ = play("waiting")
    _, ran = play(moment, run, call, "approve")
    assert ran == before
    for _ in range(2):
        (_, reason, waits, why), ran = play("never", run)
        assert (reason, waits, why, ran) == ("approval", call, "unknown outcome", before)
    _, ran = play("executed", run, call, "approve")                         # the person's second word is good for one more attempt
    assert ran == before + 1
    (_, reason, _, why), ran = play("never", run)
    assert (reason, why, ran) == ("approval", "unknown outcome", before + 1)
    (_, reason, _, answer), ran = play("never", run, call, "reject")
    assert reason == "answered" and "refused" in answer and ran == before + 1


def test_a_failed_model_can_be_gone_on_with(tmp_path):
    store = RunStore(tmp_path / "runs.db")
    run = ReactAgent(ScriptedLLM([UnavailableError("down")]), store=store).run("Hi")
    assert run.stop_reason == "error" and ReactAgent(ScriptedLLM(["Hello."]), store=store).resume(run.id).answer == "Hello."


def test_the_real_client_carries_calls_results_and_limits_over_the_wire():
    def add(a: int, b: int) -> int:
        "Add two integers."
        return a + b
    with ProviderServer() as server:
        server.say(Answer(calls=[call("add", "c1", a=1, b=2), call("add", "c2", a=3, b=4)]), "3 and 7")
        llm = make_llm("openai:test-model", **server.settings())
        run = ReactAgent(llm, [as_tool(add, inline=True)], limits=Limits(tokens=10_000)).run("Add.")
    assert (run.answer, run.tool_calls, run.steps) == ("3 and 7", 2, 2) and run.usage.total_tokens > 0
    sent = server.requests[1].body
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool", "tool"] and [m.get("content") for m in sent["messages"]][2:] == ["3", "7"]
    assert 0 < sent.get("max_tokens", sent.get("max_completion_tokens")) < 10_000 and sent["tools"][0]["function"]["name"] == "add"
