"""Tools: what a function becomes, what a model's call may do wrong, and what comes back."""

import asyncio
import dataclasses
import enum
import json
import threading
import time
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

import jsonschema
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from genai_factory.core.base import (
    DamagedError, Document, InputError, MissingError, Part, Passage, RateLimitError, RefusalError, Tool, ToolCall, UnavailableError, UsageError)
from genai_factory.tools import toolset as room
from genai_factory.tools.results import as_content, as_text, cut, table_text
from genai_factory.tools.toolset import Toolset, as_tool, needs_approval, stuck_calls, tool


class Currency(enum.Enum):
    euro = "EUR"
    crown = "SEK"


class Address(BaseModel):
    town: str = Field(description="name of the town")
    zip: int | None = None


@dataclasses.dataclass
class Loan:
    rate: Decimal
    start: date


@tool
def quote(
    amount: Annotated[int, Field(ge=1)],   # whole euros
    currency: Currency,                    # what it is paid in
    address: Address,                      # where the house stands
    kind: Literal["fixed", "free"] = "fixed",
    months: list[int] | None = None,       # terms asked for
    day: date = date(2026, 4, 1),
) -> str:
    "Quote a loan."
    return f"{amount} {currency} {address.town} {kind} {months} {day}"


def ask(tools, name="quote", text="{}", **options):
    made = tools if isinstance(tools, Toolset) else Toolset(tools)
    return asyncio.run(made.acall(ToolCall("7", name, text), **options))


def text_of(result): return result.message.text


# What a function becomes

def test_the_schema_says_what_the_signature_says():
    jsonschema.Draft202012Validator.check_schema(quote.parameters)
    fields = quote.parameters["properties"]
    assert quote.name == "quote" and quote.description == "Quote a loan."
    assert list(fields) == ["amount", "currency", "address", "kind", "months", "day"] and quote.parameters["required"] == ["amount", "currency", "address"]
    assert fields["amount"] == {"description": "whole euros", "minimum": 1, "type": "integer"}
    assert fields["kind"]["enum"] == ["fixed", "free"] and fields["kind"]["default"] == "fixed" and fields["day"]["default"] == "2026-04-01"
    assert quote.parameters["$defs"]["Address"]["properties"]["town"]["description"] == "name of the town"
    assert quote.parameters["additionalProperties"] is False and "title" not in json.dumps(quote.parameters["properties"])


def test_arguments_arrive_as_the_types_that_were_declared():
    result = ask([quote], text='{"amount": 5, "currency": "SEK", "address": {"town": "Oldport"}, "months": [12, 24], "day": "2026-05-02"}')
    assert result.status == "ok" and text_of(result) == "5 Currency.crown Oldport fixed [12, 24] 2026-05-02"
    assert result.message.tool_call_id == "7" and result.message.name == "quote" and result.message.role == "tool" and result.seconds >= 0


@given(st.fixed_dictionaries({"amount": st.one_of(st.integers(-3, 10**6), st.text(max_size=3), st.none(), st.booleans()), "currency": st.sampled_from(["EUR", "SEK", "USD", 3]),
                              "address": st.sampled_from([{"town": "A"}, {"town": "A", "zip": 3}, {}, "A", {"town": 4}])},
                             optional={"kind": st.sampled_from(["fixed", "free", "loose"]), "months": st.one_of(st.none(), st.lists(st.integers(), max_size=3)), "extra": st.just(1)}))
@settings(max_examples=60, deadline=None)
def test_what_the_schema_allows_is_accepted(arguments):
    allowed = jsonschema.Draft202012Validator(quote.parameters).is_valid(arguments)
    result = ask([quote], text=json.dumps(arguments))
    if allowed: assert result.status == "ok"
    if "extra" in arguments or arguments["currency"] in ("USD", 3): assert result.status == "error"


def zero() -> str:
    "The day of the books."
    return "2026-04-01"


@pytest.mark.parametrize("arguments", ["", "{}", "null", " {} "])
def test_a_tool_without_arguments_takes_every_way_of_saying_none(arguments):
    assert as_tool(zero).parameters == {"additionalProperties": False, "properties": {}, "type": "object"}
    assert text_of(ask([zero], "zero", arguments)) == "2026-04-01"


def numpy_style(size: int):
    """Count things.

    Parameters
    ----------
    size : int
        how many
    """
    return size


def google_style(size: int):
    """Count things.

    Args:
        size: how many
    """
    return size


class Counter:
    "Counts."
    def __init__(self): self.seen = 0

    def count(self, by: int):  # how much
        "Count on."
        self.seen += by
        return self.seen

    async def __call__(self, by: int):  # how much
        "Count on, later."
        return self.count(by)


def test_comments_are_read_in_three_styles_and_from_methods_and_callables():
    counter = Counter()
    for made in (as_tool(numpy_style), as_tool(google_style)):
        assert made.parameters["properties"]["size"]["description"] == "how many" and made.description == "Count things."
    assert as_tool(counter.count).parameters["properties"]["by"]["description"] == "how much"
    assert text_of(ask([counter.count], "count", '{"by": 2}')) == "2"
    assert text_of(ask([as_tool(counter, name="later", description="Count on.")], "later", '{"by": 2}')) == "4"
    assert text_of(ask([as_tool(partial(Counter.count, counter), description="Count on.")], "count", '{"by": 1}')) == "5"


def untyped(amount, town: str): "Quote."
def starred(*amounts: int): "Quote."
def keyed(**amounts: int): "Quote."
def slashed(amount: int, /): "Quote."
def silent(amount: int): pass
def odd(thing: threading.Lock): "Quote."
def field(amount: int = Field(3)): "Quote."
def ghost(thing: "NoSuchType"): "Quote."  # noqa: F821
async def stream(): "Quote."; yield 3  # noqa: E702


@pytest.mark.parametrize("function, words", [(untyped, "'untyped': parameter 'amount' has no type"), (starred, "'starred': parameter '*amounts"), (keyed, "'**amounts"),
    (slashed, "'amount: int'"), (silent, "'silent' has no docstring"), (odd, "'odd'"), (field, "'amount' as Annotated"), (ghost, "NoSuchType"), (stream, "async generator")])
def test_what_a_model_cannot_use_is_refused_when_made(function, words):
    with pytest.raises(UsageError) as error: as_tool(function)
    assert words in str(error.value)


def test_names_are_fit_for_every_provider_and_unique():
    with pytest.raises(UsageError, match="no name for a tool"): as_tool(lambda: 3, description="Three.")
    with pytest.raises(UsageError, match="no name for a tool"): as_tool(zero, name="die Stunde")
    with pytest.raises(UsageError, match="Two tools are called 'zero'"): Toolset([zero, as_tool(zero)])


# What a model does wrong

@pytest.mark.parametrize("arguments, words", [
    ('{"amount": 5', "Invalid JSON"), ("amount=5", "Invalid JSON"), ("[5]", "the arguments"), ("5", "the arguments"), ("[" * 100_000, "JSON"), ("{}", "'amount' is missing"),
    ('{"amount": "five", "currency": "EUR", "address": {"town": "A"}}', "'amount'"), ('{"amount": 0, "currency": "EUR", "address": {"town": "A"}}', "greater than or equal to 1"),
    ('{"amount": 5, "currency": "EUR", "address": {}}', "'address.town' is missing"), ('{"amount": 5, "currency": "EUR", "address": {"town": "A"}, "knd": "free"}', "Did you mean 'kind'"),
    ('{"amount": 5, "currency": "USD", "address": {"town": "A"}}', "'EUR' or 'SEK'"), ('{"amount": NaN, "currency": "EUR", "address": {"town": "A"}}', "'amount'"),
    ('{"amount": 5, "currency": "EUR", "address": {"town": "' + "A" * 50_000 + '"}, "months": "' + "x" * 50_000 + '"}', "'months'")])
def test_arguments_that_do_not_fit_are_told_by_field(arguments, words):
    result = ask([quote], text=arguments)
    assert result.status == "error" and words in text_of(result) and len(text_of(result)) < 2000 and "It takes: amount" in text_of(result)


def test_an_unknown_tool_is_told_with_the_nearest_name():
    assert "Did you mean 'quote'?" in text_of(ask([quote], "qoute")) and "no tool" in text_of(ask([], "x" * 10_000))
    assert len(text_of(ask([], "x" * 10_000))) < 300


def test_a_tool_made_by_hand_is_checked_against_its_schema():
    made = Tool("move", "Hand over.", {"type": "object", "properties": {"to": {"enum": ["anna", "bert"]}}, "required": ["to"]}, lambda **given: given["to"])
    assert text_of(ask([made], "move", '{"to": "bert"}')) == "bert"
    for wrong, words in (('{"to": "carl"}', "to: 'carl' is not one of"), ("{}", "'to' is a required property"), ("[]", "not of type 'object'"), ("{", "do not fit")):
        result = ask([made], "move", wrong)
        assert result.status == "error" and words in text_of(result)


# What a tool does wrong

def sleepy(seconds: float = 5.0) -> str:
    "Sleep."
    time.sleep(seconds)
    return "awake"


async def drowsy(seconds: float = 5.0) -> str:
    "Sleep, but let others work."
    try: await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled.append(1)
        raise
    return "awake"

cancelled: list[int] = []


async def deaf():
    "Never listens."
    while True:
        try: await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            cancelled.append(1)
            if len(cancelled) > 1: raise


@pytest.mark.parametrize("function", [sleepy, drowsy, deaf])
def test_a_tool_that_hangs_is_given_up_at_its_time(function):
    cancelled.clear()
    async def timed():
        started = time.perf_counter()
        return await Toolset([as_tool(function, timeout_s=0.2)]).acall(ToolCall("7", function.__name__)), time.perf_counter() - started
    result, seconds = asyncio.run(timed())
    assert result.status == "timeout" and "within 0.2 s" in text_of(result) and 0.19 < seconds < 1.5
    if function is drowsy: assert cancelled


def test_abandoned_threads_are_counted_and_capped(monkeypatch):
    monkeypatch.setattr(room, "_stuck", set())
    gate = threading.Event()
    def hang():
        "Hang."
        gate.wait(20)
    tools = Toolset([as_tool(hang, timeout_s=0.02), zero, as_tool(zero, name="quick", inline=True)], max_stuck=3)
    assert [ask(tools, "hang").status for _ in range(3)] == ["timeout"] * 3 and stuck_calls() == 3
    refused = ask(tools, "zero")
    assert refused.status == "error" and "3 earlier calls hang" in text_of(refused)
    assert ask(tools, "quick").status == "ok"        # needs no thread
    gate.set()
    for _ in range(200):
        if not stuck_calls(): break
        time.sleep(0.01)
    assert stuck_calls() == 0 and ask(tools, "zero").status == "ok"


def test_cancelling_the_caller_cancels_the_tool(monkeypatch):
    monkeypatch.setattr(room, "_stuck", set())
    cancelled.clear()
    async def cut_short(name):
        task = asyncio.ensure_future(Toolset([drowsy, sleepy]).acall(ToolCall("7", name, '{"seconds": 0.4}')))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError): await task
        await asyncio.sleep(0.01)
    asyncio.run(cut_short("drowsy"))
    assert cancelled
    asyncio.run(cut_short("sleepy"))
    assert stuck_calls() == 1


def test_a_hung_tool_does_not_keep_the_interpreter(tmp_path):
    import subprocess
    import sys
    program = tmp_path / "program.py"
    program.write_text("import time\nfrom genai_factory.tools.toolset import Toolset, as_tool\ndef hang():\n    'Hang.'\n    time.sleep(60)\n"
                       "print(Toolset([as_tool(hang, timeout_s=0.05)]).call('hang').status)\n")
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=30)
    assert ended.stdout.strip() == "timeout" and ended.returncode == 0


class Rude(Exception):
    def __str__(self): raise RuntimeError("no words")


def fails(how: str):  # which error
    "Fail."
    if how == "exit": raise SystemExit(3)
    if how == "late": raise TimeoutError("the server was silent")
    if how == "rude": raise Rude
    if how == "dsn": raise ConnectionError("no answer from postgresql://bank:tide-and-harbour@db:5432/loans (password=tide-and-harbour)")
    if how == "long": raise ValueError("x" * 1_000_000)
    raise KeyError(how)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("how, words", [("exit", "SystemExit: 3"), ("late", "TimeoutError: the server was silent"), ("rude", "Rude: (its message"), ("dsn", "ConnectionError"),
                                        ("long", "[cut"), ("other", "KeyError: 'other'")])
def test_what_a_tool_raises_is_told_without_traceback_and_secrets(how, words, inline):
    result = ask([as_tool(fails, inline=inline)], "fails", json.dumps({"how": how}))
    assert result.status == "error" and words in text_of(result) and "Traceback" not in text_of(result) and len(text_of(result)) < 1000
    assert "tide-and-harbour" not in text_of(result) + str(result.error)


async def cancels_itself():
    "Cancel."
    raise asyncio.CancelledError


def test_a_tool_that_cancels_itself_has_failed(): assert "cancelled from inside" in text_of(ask([cancels_itself], "cancels_itself"))


def test_calls_at_a_time_are_capped_in_every_loop():
    now, most = 0, 0
    async def busy():
        "Work."
        nonlocal now, most
        now += 1
        most = max(now, most)
        await asyncio.sleep(0.01)
        now -= 1
    tools = Toolset([busy], max_parallel=3)
    async def many(): return await asyncio.gather(*(tools.acall(ToolCall(str(i), "busy")) for i in range(10)))
    for _ in range(2):                              # a second loop
        assert all(result.status == "ok" for result in asyncio.run(many()))
    assert most == 3


# What the model is shown

def test_ten_megabytes_are_cut_without_being_copied():
    import tracemalloc
    huge = "ä" * 10_000_000
    made = as_tool(lambda: huge, name="huge", description="Print.", inline=True)
    tools = Toolset([made])
    tracemalloc.start()
    result = ask(tools, "huge")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text_of(result)) < 20_100 and "[cut: the first 20,000 of 10,000,000 characters]" in text_of(result) and peak < 2_000_000


@pytest.mark.parametrize("value, shown", [
    (None, "Done. There is nothing to return."), (3, "3"), (True, "true"), (0.1, "0.1"), (float("nan"), "NaN"), ("", ""), ({"a": {1}}, '{"a":[1]}'), (Loan(Decimal("9.90"), date(2026, 4, 1)), '{"rate":"9.90","start":"2026-04-01"}'),
    (Address(town="Oldport"), '{"town":"Oldport","zip":null}'), (b"caf\xc3\xa9", "café"), (b"\xff\x00", "<2 bytes that are not text>"), (bytearray(b"ab"), "ab"), (SecretStr("tide"), '"**********"'),
    (Currency.euro, '"EUR"'), ("lone \ud800", "lone ?"), (pandas.DataFrame({"a": [1], "b": ["x|y"]}), "a | b\n1 | x¦y")])
def test_values_are_shown_as_a_model_can_read_them(value, shown): assert as_text(value) == shown


def test_values_without_a_form_in_json_are_still_readable():
    import itertools

    import numpy
    assert as_text(itertools.count()).startswith("[0,1,2,") and as_text(numpy.arange(3)) == "[0,1,2]" and as_text({"n": numpy.float64(1.5)}) == '{"n":1.5}'
    assert "lock" in as_text(threading.Lock()) and as_text({"f": {"raw": b"\xff"}}) == '{"f":{"raw":"_w=="}}'
    assert as_text(b"\xc3\xa9" * 50_000).endswith("[cut: the first 20,000 characters of 100,000 bytes]")
    assert "[cut: the first" in as_text(pandas.DataFrame({"a": range(100_000)}), 500)


@given(st.text(max_size=200), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_a_cut_text_is_its_beginning_and_can_be_sent(text, limit):
    shown = cut(text, limit)
    shown.encode()
    clean = text.encode("utf-8", "replace").decode()
    assert shown == clean if len(text) <= limit else shown.startswith(clean[:limit] + "\n[cut")


@given(st.lists(st.tuples(st.text(max_size=90), st.one_of(st.none(), st.integers(), st.binary(max_size=3))), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_row_of_a_table_is_one_line(rows):
    text, shown = table_text(["a", "b"], rows)
    assert shown == len(rows) and len(text.split("\n")) == len(rows) + 1 and all(line.count("|") == 1 for line in text.split("\n"))


# Trust and approval

PASSAGE = Passage("The rate is 9.9 %.", Document("a.md", "The rate is 9.9 %."), 0, 18)


@pytest.mark.parametrize("origin, trusted", [("web", False), ("mail", False), ("document", False), ("tool", True)])
def test_results_from_outside_stay_labelled_also_when_they_fail(origin, trusted):
    for function, arguments in ((zero, "{}"), (fails, '{"how": "other"}')):
        message = ask([as_tool(function, origin=origin)], function.__name__, arguments).message
        assert message.trusted is trusted
        if not trusted: assert [(part.origin, part.trusted) for part in message.content] == [(origin, False)]


def test_parts_and_passages_keep_their_kind_and_never_gain_trust():
    content = as_content([PASSAGE, Part("text", "x" * 50, "web", True)], "web", False, limit=30)
    assert [(part.kind, part.trusted) for part in content] == [("passage", False), ("text", False)] and content[1].value.startswith("x" * 12 + "\n[cut")
    content = as_content([PASSAGE] * 3, limit=40)
    assert [part.kind for part in content] == ["passage", "passage", "text"] and "1 of 3" in content[-1].value


ran: list[Any] = []


@tool(risk="acts")
def pay(euros: int):  # how much
    "Pay."
    ran.append(euros)
    return "paid"


@pytest.mark.parametrize("risk, approval, tainted, asked", [("reads", None, True, False), ("reads", True, False, True), ("acts", None, False, True), ("acts", False, False, False),
                                                            ("acts", False, True, True), ("acts", True, False, True), ("reads", False, True, False)])
def test_who_must_be_asked(risk, approval, tainted, asked):
    assert needs_approval(dataclasses.replace(pay, risk=risk, approval=approval), tainted) is asked


def test_a_person_approves_edits_or_refuses():
    ran.clear()
    waits = ask([pay], "pay", '{"euros": 5}')
    assert waits.status == "needs_approval" and waits.error is None and not ran
    assert ask([pay], "pay", '{"euros": "much"}').status == "error"                 # never shown to a person: it could not run
    denied = ask([pay], "pay", '{"euros": 5}', approved=False, reason="Too much.")
    assert denied.status == "denied" and "Too much." in text_of(denied) and not ran
    assert ask([pay], "pay", '{"euros": 5}', approved=True, tainted=True).status == "ok" and ran == [5]
    assert ask([pay], "pay", '{"euros": 5}', approved=True, arguments={"euros": 3}).status == "ok" and ran == [5, 3]
    assert ask([pay], "pay", '{"euros": 5}', approved=True, arguments='{"euro": 3}').status == "error" and ran == [5, 3]


def test_a_span_says_which_tool_ran_and_how_it_ended(monkeypatch):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    ask([as_tool(sleepy, timeout_s=0.02)], "sleepy", '{"seconds": 0.1}')
    (one,) = kept.get_finished_spans()
    assert one.name == "execute_tool sleepy" and one.attributes["gen_ai.tool.name"] == "sleepy" and one.attributes["gen_ai.tool.call.id"] == "7"
    assert one.attributes["genai_factory.status"] == "timeout" and "gen_ai.tool.call.arguments" not in one.attributes


# Once more

def failing(*errors, waits=False, **options):
    "A tool that raises these one after the other, then answers; and the list of its calls"
    calls = []
    def work():
        "Works, in the end."
        calls.append(1)
        if len(calls) <= len(errors): raise errors[len(calls) - 1]
        return f"done at try {len(calls)}"
    async def waiting():
        "Works, in the end."
        return work()
    return as_tool(waiting if waits else work, name="work", **options), calls


DOWN = [ConnectionError("reset"), TimeoutError("slow"), UnavailableError("busy")]


@pytest.mark.parametrize("how", [{}, {"inline": True}, {"waits": True}])
def test_a_failed_call_is_run_again(how):
    made, calls = failing(*DOWN[:2], retries=2, **how)
    result = ask([made], "work")
    assert (result.status, text_of(result), len(calls)) == ("ok", "done at try 3", 3)
    made, calls = failing(*DOWN, retries=2, **how)
    result = ask([made], "work")
    assert (result.status, result.error, len(calls)) == ("error", "UnavailableError: busy", 3)
    made, calls = failing(*DOWN, **how)
    assert ask([made], "work").error == "ConnectionError: reset" and len(calls) == 1, "without retries there is one try"


@pytest.mark.parametrize("error", [UsageError("x"), InputError("x"), MissingError("x"), DamagedError("x"), RefusalError("x"), ValueError("x"), TypeError("x"),
                                   KeyError("x"), ZeroDivisionError("x"), SystemExit(1)], ids=lambda error: type(error).__name__)
def test_what_would_fail_again_is_not_run_again(error):
    made, calls = failing(error, retries=3)
    assert ask([made], "work").status == "error" and len(calls) == 1


def test_arguments_that_do_not_fit_are_not_tried_at_all():
    made, calls = failing(retries=3)
    assert ask([made], "work", '{"x": 1}').status == "error" and not calls


def test_what_acts_is_never_run_twice_unless_a_repeat_does_no_harm():
    made, calls = failing(*DOWN[:1], retries=1, risk="acts")
    with pytest.raises(UsageError, match="'work' acts.*retries=1.*idempotent=True"): Toolset([made])
    made, calls = failing(*DOWN[:1], retries=1, risk="acts", idempotent=True)
    assert ask([made], "work").status == "needs_approval" and not calls
    assert ask([made], "work", approved=True).status == "ok" and len(calls) == 2


def test_all_tries_share_the_time_of_one(monkeypatch):
    given, real = [], room._in_task
    async def watched(coroutine, timeout_s):
        given.append(timeout_s)
        return await real(coroutine, timeout_s)
    monkeypatch.setattr(room, "_in_task", watched)
    made, calls = failing(*DOWN[:2], retries=2, waits=True, timeout_s=60)
    assert ask([made], "work").status == "ok" and given[0] == 60
    assert given[1] <= 60 - 0.1 and given[2] <= given[1] - 0.2, "the pauses count, and they grow"


def test_no_try_begins_after_the_time_is_over():
    made, calls = failing(*[ConnectionError("reset")] * 6, retries=5, timeout_s=0.25)
    result = ask([made], "work")
    assert result.error == "ConnectionError: reset" and len(calls) <= 2, "0.1 s and 0.2 s of pauses do not fit into 0.25 s"
    made, calls = failing(RateLimitError("later", 3600), retries=1)
    assert "later" in ask([made], "work").error and len(calls) == 1, "an hour does not fit into 30 s"


def test_a_pause_is_as_long_as_the_error_asks_for():
    made, calls = failing(RateLimitError("later", 0.3), retries=1)
    result = ask([made], "work")
    assert result.status == "ok" and len(calls) == 2 and result.seconds >= 0.3


def test_a_timeout_is_not_tried_again():
    calls = []
    async def waits():
        "Waits too long."
        calls.append(1)
        await asyncio.sleep(30)
    assert ask([as_tool(waits, retries=3, timeout_s=0.05)], "waits").status == "timeout" and len(calls) == 1


class Own(BaseException): "Raised by a library that knows no Exception."


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, Own, SystemExit])
def test_whatever_a_plain_tool_raises_is_told_to_the_model(kind, inline):
    def breaks() -> str:
        "Fails."
        raise kind("odd")
    assert Toolset([as_tool(breaks, inline=inline)]).call("breaks").status == "error"
    def interrupted() -> str:
        "A person pressed Ctrl-C."
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): Toolset([as_tool(interrupted, inline=True)]).call("interrupted")
