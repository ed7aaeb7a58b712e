"""Retries, fallbacks, cache and ledger over the real client libraries, against a local server that speaks both wire formats."""

import asyncio
import traceback
from decimal import Decimal

import pytest

from genai_factory import make_llm
from genai_factory.core import aio
from genai_factory.core.base import ContextLengthError, RateLimitError, RefusalError, StreamInterrupted, TimeLimitError, ToolCall, UnavailableError, Usage, UsageError
from genai_factory.llms import resilience
from genai_factory.testing.provider import Answer, ProviderServer, refuse

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
WIRES = pytest.mark.parametrize("wire", MODELS)


@pytest.fixture
def server():
    with ProviderServer() as server: yield server

@pytest.fixture
def make(server, ledger):
    "A model on the server whose waits are counted in .waits, not waited for"
    def build(wire, **settings):
        llm = make_llm(f"{wire}:{MODELS[wire]}", ledger=ledger, **{**server.settings(wire), **settings})
        llm.waits = []
        async def sleep(seconds): llm.waits.append(seconds)
        llm.sleep, llm.uniform = sleep, lambda low, high: low
        return llm
    return build

def statuses(ledger): return [row["status"] for row in ledger.rows()]


@WIRES
def test_retry_after_is_honoured_and_only_one_place_retries(server, make, ledger, wire):
    server.say(refuse(429, retry_after=3), refuse(429, retry_after=1.5), "At last.")
    llm = make(wire)
    assert llm.chat("Hi").text == "At last." and llm.waits == [3.0, 1.5]
    assert len(server.requests) == 3 and statuses(ledger) == ["RateLimitError", "RateLimitError", "ok"]
    assert len({row["request"] for row in ledger.rows()}) == 1 and {row["provider"] for row in ledger.rows()} == {wire}


PASSING = [*[refuse(status) for status in (500, 503, 529, 408, 409)], Answer("x", fault="reset"), Answer("x", fault="break"), Answer("x", fault="break", after=0),
           Answer("x", fault="end", after=1), Answer("x", fault="error", after=0)]
LASTING = [(refuse(400), UsageError), (refuse(404), UsageError), (refuse(422), UsageError), (refuse(401), UnavailableError), (refuse(403), UnavailableError),
           (refuse(400, "prompt is too long: 9 tokens > 8 maximum"), ContextLengthError), (refuse(429, "insufficient_quota"), RateLimitError)]

@WIRES
def test_a_passing_failure_is_repeated(server, make, ledger, wire):
    llm = make(wire)
    for number, first in enumerate(PASSING, 1):
        server.say(first, "At last.")
        assert llm.chat("Hi").text == "At last.", first
        assert len(server.requests) == 2 * number and statuses(ledger)[-1] == "ok" != statuses(ledger)[-2], first


@WIRES
def test_a_lasting_failure_is_not(server, make, ledger, wire):
    llm = make(wire)
    for number, (first, kind) in enumerate(LASTING, 1):
        server.say(first)
        with pytest.raises(kind): llm.chat("Hi")
        assert len(server.requests) == number and statuses(ledger)[-1] == kind.__name__, first
    assert llm.waits == []


@WIRES
@pytest.mark.parametrize("fault", ["break", "end", "reset"])
def test_a_stream_cut_anywhere_is_repeated_or_interrupted_never_spliced(server, make, ledger, wire, fault):
    text = "The rate is nine point nine per cent."
    outcomes, llm = [], make(wire)
    for after in range(12):
        server.script[:] = [Answer(text, fault=fault, after=after), "Another text."]
        got = []
        try:
            for delta in llm.stream("Hi"): got.append(delta.text)
        except StreamInterrupted as error:
            assert error.partial == "".join(got) and text.startswith(error.partial) and error.partial
            outcomes.append("interrupted")
        else:
            assert "".join(got) in (text, "Another text.")
            outcomes.append("whole" if "".join(got) == text else "repeated")
    assert {"repeated"} | ({"interrupted"} if fault != "reset" else set()) <= set(outcomes), "a reset may take what was not read yet with it"
    ends = statuses(ledger)
    assert len(ends) == len(server.requests), "every attempt has its row"
    assert ends.count("ok") == len(outcomes) - outcomes.count("interrupted") and len(ends) == len(outcomes) + outcomes.count("repeated")


USAGE = {"openai": Usage(1200, 80, cached_tokens=1000, reasoning_tokens=30),
         "anthropic": Usage(1200, 80, cached_tokens=700, cache_write_tokens=300, cache_write_1h_tokens=100)}
BY_HAND = {"openai": (200 * Decimal("0.15") + 1000 * Decimal("0.075") + 80 * Decimal("0.60")) / 1_000_000,
           "anthropic": (100 * Decimal("1.00") + 700 * Decimal("0.10") + 300 * Decimal("1.25") + 100 * Decimal("2.00") + 80 * Decimal("5.00")) / 1_000_000}

@pytest.mark.parametrize("wire, shape", [*[("openai", s) for s in ("", "usage with finish", "usage in choices", "usage in every chunk", "finish with text", "no done", "whole calls")],
                                         *[("anthropic", s) for s in ("", "usage in delta", "pings", "input in start")]])
def test_streamed_costs_what_buffered_costs_in_every_shape(server, make, ledger, wire, shape):
    answer = Answer("Here it is.", [ToolCall("c1", "add", '{"a": 1}')], usage=USAGE[wire], shapes=(shape,) if shape else ())
    server.say(answer, answer)
    llm = make(wire)
    streamed = [delta.cost for delta in llm.stream("Hi") if delta.cost is not None]
    whole = llm.chat("Hi").cost
    first, second = ledger.rows()
    assert first["cost"] == second["cost"] == BY_HAND[wire] and streamed == [whole] == [float(BY_HAND[wire])]
    tokens = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    assert [first[t] for t in tokens] == [second[t] for t in tokens] == [getattr(USAGE[wire], t) for t in tokens]


@WIRES
def test_a_server_that_counts_nothing_is_unpriced(server, make, ledger, wire):
    server.say(Answer("Here.", usage=None))
    assert make(wire).chat("Hi").cost is None
    assert ledger.totals()[0]["unpriced"] == 1 and ledger.rows()[0]["input_tokens"] is None


@WIRES
def test_another_provider_takes_over_from_one_that_stalls(server, make, ledger, monkeypatch, wire):
    other = "anthropic" if wire == "openai" else "openai"
    monkeypatch.setenv(f"{other.upper()}_API_KEY", "any")
    monkeypatch.setenv(f"{other.upper()}_BASE_URL", server.settings(other)["base_url"])
    server.say(Answer("x", fault="stall"), "The other one.")
    reply = make(wire, fallbacks=[f"{other}:{MODELS[other]}"], first_token_timeout_s=0.3, max_retries=0).chat("Hi")
    assert reply.text == "The other one." and reply.served_by == f"{other}:{MODELS[other]}" and reply.cost
    assert [(row["provider"], row["status"]) for row in ledger.rows()] == [(wire, "TimeLimitError"), (other, "ok")]
    assert [request.wire for request in server.requests] == [wire, other] and server.requests[0].disconnected.wait(5)


@WIRES
def test_a_filtered_answer_goes_to_the_next_model_with_one_end(server, make, ledger, monkeypatch, wire):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", server.settings()["base_url"])
    server.say(Answer("", finish="content_filter"), "Of course.")
    deltas = list(make(wire, fallbacks=["openai:gpt-4.1"]).stream("Hi"))
    assert "".join(d.text for d in deltas) == "Of course." and [d.finish_reason for d in deltas if d.finish_reason] == ["stop"]
    assert statuses(ledger) == ["RefusalError", "ok"]
    server.say(Answer("", finish="content_filter"))
    with pytest.raises(RefusalError): make(wire).chat("Hi")


@WIRES
def test_a_stall_in_the_middle_is_an_interruption_with_the_text(server, make, wire):
    server.say(Answer("The rate is nine.", fault="stall", after=4))
    with pytest.raises(StreamInterrupted) as caught: make(wire, token_timeout_s=0.3).chat("Hi")
    assert caught.value.partial and isinstance(caught.value.__cause__, TimeLimitError)


@WIRES
def test_a_cancelled_request_leaves_the_server_and_is_booked(server, make, ledger, wire):
    server.say(Answer("x", fault="stall"))
    async def leave():
        task = asyncio.create_task(make(wire).achat("Hi"))
        while not server.requests: await asyncio.sleep(0.01)  # noqa: ASYNC110
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    aio.run(leave())
    assert server.requests[0].disconnected.wait(5) and statuses(ledger) == ["cancelled"]


@WIRES
def test_a_kept_answer_asks_no_server(server, make, wire, tmp_path, monkeypatch):
    monkeypatch.setenv("GENAI_FACTORY_WORKSPACE", str(tmp_path))
    answer = Answer("Here it is.", [ToolCall("c1", "add", '{"a": 1}')], reasoning="Let me see.")
    server.say(answer, "another")
    first, second = [make(wire, cache=True).chat("Hi") for _ in range(2)]
    assert len(server.requests) == 1 and first.message == second.message and first.reasoning == second.reasoning == "Let me see."
    assert first.usage == second.usage and (second.cost, second.served_by) == (0.0, f"cache:{wire}:{MODELS[wire]}")
    assert make(wire, cache=True, max_tokens=7).chat("Hi").text == "another"


@WIRES
def test_an_error_of_the_client_passes_one_frame_of_this_room(server, make, wire):
    server.say(refuse(500), refuse(500), refuse(500))
    with pytest.raises(UnavailableError) as caught: asyncio.run(make(wire, requests_per_minute=6000, tokens_per_minute=1e9).achat("Hi"))
    frames = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    ours = [name for name in frames if "genai_factory" in name]
    assert ours.count(resilience.__file__) == 1 and len(ours) <= 4, ours
    assert len(server.requests) == 3 and "Failed before" in caught.value.__notes__[0]
