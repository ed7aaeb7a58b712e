"""However a recorded reply is cut into chunks, what is read is the whole reply: the real clients' decoders over any bytes."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core.base import Message, Usage, collect
from genai_factory.core.configs import LLMConfig
from genai_factory.core.errors import StreamInterrupted
from genai_factory.llms import anthropic, openai
from genai_factory.llms.pricing import Price, Prices, cost
from genai_factory.testing.provider import Answer, anthropic_body, anthropic_events, call, openai_body, openai_events

MAKERS = {"openai": openai.make, "anthropic": anthropic.make}
both = pytest.mark.parametrize("wire", MAKERS)


@dataclass
class Wire:
    "A model whose client reads prepared bytes instead of a network"
    name: str
    pieces: list[bytes] = field(default_factory=list)

    def __post_init__(self):
        self.llm = MAKERS[self.name](LLMConfig(provider=self.name, model="m", api_key="any", max_retries=0))
        self.runner = asyncio.Runner()
        self.runner.run(self.connect())

    async def connect(self):
        import httpx2
        def answer(request):
            async def stream():
                for piece in self.pieces: yield piece
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream())
        from anthropic import AsyncAnthropic
        from openai import AsyncOpenAI
        client = {"openai": AsyncOpenAI, "anthropic": AsyncAnthropic}[self.name]
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        self.llm.clients[asyncio.get_running_loop()] = client(api_key="any", http_client=http, max_retries=0), None

    def read(self, pieces: list[bytes]):
        self.pieces = pieces
        return self.runner.run(collect(self.llm.astream([Message("user", "Hi")])))


@pytest.fixture(scope="module")
def wires():
    made = {name: Wire(name) for name in MAKERS}
    yield made
    for wire in made.values(): wire.runner.close()


def whole(wire, answer):
    "What the unstreamed body of the same answer says, read by this test alone: text, thoughts, calls, finish reason, usage"
    if wire == "openai":
        body = openai_body(answer, "m")
        said, told = body["choices"][0]["message"], body.get("usage")
        calls = [(c["function"]["name"], json.loads(c["function"]["arguments"] or "{}")) for c in said.get("tool_calls", [])]
        usage = told and Usage(told["prompt_tokens"], told["completion_tokens"], told["prompt_tokens_details"]["cached_tokens"],
                               told["completion_tokens_details"]["reasoning_tokens"])
        return said["content"] or "", said.get("reasoning_content", ""), calls, body["choices"][0]["finish_reason"], usage
    body = anthropic_body(answer, "m")
    told, blocks = body.get("usage"), body["content"]
    texts, thoughts = [b["text"] for b in blocks if b["type"] == "text"], [b["thinking"] for b in blocks if b["type"] == "thinking"]
    written = told.get("cache_creation", {}) if told else {}
    usage = told and Usage(told["input_tokens"] + told["cache_read_input_tokens"] + told["cache_creation_input_tokens"], told["output_tokens"],
                           told["cache_read_input_tokens"], told.get("output_tokens_details", {}).get("thinking_tokens", 0),
                           written.get("ephemeral_5m_input_tokens", 0), written.get("ephemeral_1h_input_tokens", 0))
    finish = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}[body["stop_reason"]]
    return "".join(texts), "".join(thoughts), [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"], finish, usage


words = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.sampled_from(["add", "now", "send", "find"])
values = st.dictionaries(st.sampled_from(["x", "name", "Straße", "a b"]), st.integers() | words | st.lists(st.booleans(), max_size=2), max_size=3)
ENDS = st.sampled_from([(), ("usage with finish",), ("usage in choices",), ("usage in every chunk",), ("finish with text",), ("usage with finish", "finish with text"),
                        ("no done",), ("usage in choices", "no done"), ("usage in delta",), ("pings",)])
CALLS = st.sampled_from([(), ("whole calls",), ("no index",), ("same index",), ("no id",), ("no id", "no index"), ("name repeated",), ("interleaved",),
                         ("interleaved", "name repeated", "same index"), ("interleaved", "name repeated", "no index"), ("arguments missing",), ("arguments null",),
                         ("whole calls", "arguments missing", "no index", "no id"), ("arguments null", "no id"), ("input in start",)])


@st.composite
def answers(draw, wire):
    "A reply as a provider might send it"
    chosen = draw(st.lists(names, unique=True, max_size=3))
    calls = [call(name, f"id_{n}", **draw(values)) for n, name in enumerate(chosen)]
    numbers = [draw(st.integers(0, 10**6)) for _ in range(6)]
    usage = Usage(numbers[0] + numbers[2] + numbers[4] + numbers[5], numbers[1] + numbers[3], numbers[2], numbers[3], numbers[4], numbers[5])
    if wire == "openai": usage = Usage(numbers[0] + numbers[2], numbers[1] + numbers[3], numbers[2], numbers[3])
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))
    return Answer(draw(st.lists(words, max_size=5)), calls, draw(st.lists(words, max_size=3)), usage=draw(st.sampled_from([usage, usage, None])), finish=finish,
                  shapes=draw(ENDS) + draw(CALLS), step=draw(st.integers(1, 12)))


def as_bytes(wire, answer, newline="\n", comments=False):
    "The stream as it stands on the wire; comments are what proxies send to keep a connection open"
    events = openai_events(answer, "m") if wire == "openai" else anthropic_events(answer, "m")
    return "".join(": waiting\n\n" * comments + event for event in events).replace("\n", newline).encode()


def split(data, places):
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip(marks, marks[1:]) if b > a]


RATES = {"input": Decimal(3), "cached_input": Decimal("0.3"), "cache_write": Decimal("3.75"), "cache_write_1h": Decimal(6), "output": Decimal(15)}  # per million
PRICES = Prices((Price(models=["m"], valid_from=date(2025, 1, 1), **RATES),), (), "test")


def by_hand(usage):
    "The price of what the provider reported, in the words of its price list"
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens - usage.cache_write_1h_tokens
    tokens = {"input": fresh, "cached_input": usage.cached_tokens, "cache_write": usage.cache_write_tokens, "cache_write_1h": usage.cache_write_1h_tokens,
              "output": usage.output_tokens}
    return sum(RATES[kind] * n for kind, n in tokens.items()) / 10**6


def agrees(wires, wire, answer, pieces):
    text, thoughts, calls, finish, usage = whole(wire, answer)
    reply = wires[wire].read(pieces)
    assert (reply.text, reply.reasoning, reply.finish_reason) == (text, thoughts, finish)
    assert [(c.name, json.loads(c.arguments)) for c in reply.message.tool_calls] == calls
    assert len({c.id for c in reply.message.tool_calls}) == len(calls)
    assert reply.usage == (usage or Usage())
    if usage and usage.total_tokens: assert cost(reply.usage, reply.model, PRICES) == by_hand(usage)


def check(wires, wire, examples):
    @settings(max_examples=examples, deadline=None, database=None)
    @given(answers(wire), st.lists(st.integers(0, 10**6), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
    def holds(answer, places, newline, comments): agrees(wires, wire, answer, split(as_bytes(wire, answer, newline, comments), places))
    holds()


@both
def test_any_chunking_reads_as_the_whole_reply(wires, wire): check(wires, wire, 100)


@pytest.mark.slow
@both
def test_any_chunking_reads_as_the_whole_reply_in_full(wires, wire): check(wires, wire, 1500)


@both
def test_split_at_every_byte(wires, wire):
    answer = Answer(["Grüße ", "🦆"], [call("add", "a", x="ü")], ["Hm"], usage=Usage(9, 4, 3))
    data = as_bytes(wire, answer)
    for place in range(0, len(data), 17): agrees(wires, wire, answer, split(data, [place]))
    agrees(wires, wire, answer, [bytes([b]) for b in data])


@both
def test_a_stream_cut_at_any_byte_is_whole_or_an_error(wires, wire):
    "Bytes that are lost at the end never make another answer out of this one"
    answer = Answer(["Fees ", "are ", "none."], [call("add", "a", x=1, y=2)], usage=Usage(9, 4, 3))
    data, chance, interrupted = as_bytes(wire, answer), random.Random(0), 0
    for place in sorted(chance.sample(range(len(data)), 60)):
        try: reply = wires[wire].read([data[:place]])
        except StreamInterrupted as error:
            interrupted += 1
            assert "Fees are none.".startswith(error.partial)
        else: assert reply.text == "Fees are none." and [(c.name, json.loads(c.arguments)) for c in reply.message.tool_calls] == [("add", {"x": 1, "y": 2})]
    assert interrupted >= 40
