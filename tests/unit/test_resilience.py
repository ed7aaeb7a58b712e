"""One class around any model: what it repeats, what it never does, and what it writes down. Waits are counted by a clock of our own."""

import asyncio
import random
import sqlite3
import traceback
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core import aio
from genai_factory.core.base import (LLM, ContextLengthError, Delta, RateLimitError, RefusalError, StreamInterrupted, TimeLimitError, Tool, ToolCall,
                                     UnavailableError, Usage, UsageError)
from genai_factory.core.configs import LLMConfig
from genai_factory.llms import resilience
from genai_factory.llms.cache import Cache
from genai_factory.llms.pricing import cost, load_prices
from genai_factory.llms.resilience import Bucket, ResilientLLM, amap, backoff, guard
from genai_factory.llms.scripted import ScriptedLLM

END = Delta(usage=Usage(1000, 100, cached_tokens=400), finish_reason="stop", model="gpt-4o")
BROKEN = UnavailableError("the connection broke off")


class Fake(LLM):
    "Plays one list of deltas and errors for each time it is asked; the last one again and again"
    def __init__(self, *plays, model="gpt-4o"): self.plays, self.model, self.asked, self.closed = list(plays), model, [], 0
    def astream(self, messages, **options):
        self.last = self.play(options)                           # kept, so that only an explicit close ends it
        return self.last
    async def play(self, options):
        self.asked.append(options)
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        try:
            for step in [play] if isinstance(play, Exception) else play:
                if isinstance(step, Exception): raise step
                if callable(step): step = await step()
                if step: yield step
        finally: self.closed += 1


def says(*texts): return [*[Delta(text) for text in texts], END]

class Clock:
    "Time that passes only while somebody sleeps"
    def __init__(self): self.now, self.slept = 0.0, []
    def __call__(self): return self.now
    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

@pytest.fixture
def clock(): return Clock()

@pytest.fixture
def build(clock, ledger):
    "A chain on the clock with the ledger; the jitter is at its bound"
    def make(*llms, high=True, **settings):
        known = {k: settings.pop(k) for k in ("cache", "tenant", "fall_back_on", "failures", "cool_down_s", "prices") if k in settings}
        return ResilientLLM(llms, LLMConfig(provider="openai", model="gpt-4o", **settings), ledger, clock=clock, sleep=clock.sleep, uniform=lambda a, b: b if high else a, **known)
    return make

def statuses(ledger): return [(row["model"], row["attempt"], row["status"]) for row in ledger.rows()]


# Retries

@pytest.mark.parametrize("error", [RateLimitError("429"), UnavailableError("503"), TimeLimitError("late", "connect"), TimeLimitError("late", "first token"), StreamInterrupted("cut", "")])
def test_a_passing_failure_is_tried_again(build, clock, ledger, error):
    llm = Fake(error, error, says("Hel", "lo"))
    reply = build(llm).chat("Hi")
    assert reply.text == "Hello" and reply.served_by == "openai:gpt-4o" and len(llm.asked) == 3
    assert clock.slept == [0.5, 1.0], "doubling"
    assert statuses(ledger) == [("gpt-4o", 1, type(error).__name__), ("gpt-4o", 2, type(error).__name__), ("gpt-4o", 3, "ok")]
    assert len({row["request"] for row in ledger.rows()}) == 1


def refused_key():
    error = UnavailableError("401")
    error.retryable = False
    return error

@pytest.mark.parametrize("error", [UsageError("400"), ContextLengthError("too long"), RefusalError("no"), refused_key(), ValueError("a defect")])
def test_a_lasting_failure_is_not(build, clock, ledger, error):
    llm = Fake(error, says("never"))
    with pytest.raises(type(error)) as caught: build(llm).chat("Hi")
    assert caught.value is error and len(llm.asked) == 1 and clock.slept == []
    assert statuses(ledger) == [("gpt-4o", 1, type(error).__name__)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_number_of_tries_is_exact_and_the_last_error_comes_out(build, retries):
    llm = Fake(RateLimitError("first"), *[RateLimitError("again") for _ in range(retries)])
    with pytest.raises(RateLimitError) as caught: build(llm, max_retries=retries).chat("Hi")
    assert len(llm.asked) == retries + 1 and str(caught.value) == ("again" if retries else "first")
    assert len(getattr(caught.value, "__notes__", [])) == (1 if retries else 0)
    if retries: assert caught.value.__notes__[0].count("RateLimitError") == retries


def test_retry_after_is_the_least_wait_with_the_jitter_on_top(build, clock):
    build(Fake(RateLimitError("429", 7.0), RateLimitError("429", 7.0), says("ok")), high=False).chat("Hi")
    assert clock.slept == [7.0, 7.0]
    build(Fake(RateLimitError("429", 7.0), says("ok"))).chat("Hi")
    assert clock.slept[2:] == [7.5]


def test_no_wait_reaches_beyond_the_deadline(build, clock):
    llm = Fake(RateLimitError("429", 50.0), RateLimitError("429", 50.0), says("too late"))
    with pytest.raises(RateLimitError): build(llm, timeout_s=60, max_retries=9).chat("Hi")
    assert len(llm.asked) == 2 and clock.now < 60, "the second wait would end at 100 s"


def test_the_deadline_ends_a_try_that_hangs(ledger):
    async def hang(): await asyncio.sleep(60)
    llm = Fake([hang])
    with pytest.raises(TimeLimitError, match="timeout_s") as caught: ResilientLLM([llm, Fake(says("another"))], LLMConfig(timeout_s=0.05), ledger).chat("Hi")
    assert caught.value.phase == "total" and llm.closed == 1 and [row["status"] for row in ledger.rows()] == ["TimeLimitError"]


def test_a_raw_timeout_of_a_provider_is_its_own(build):
    with pytest.raises(TimeoutError, match="disk"): build(Fake(TimeoutError("disk"))).chat("Hi")


def test_full_jitter_stays_in_its_bounds():
    draw = random.Random(7).uniform
    for tries in range(1, 12):
        waits = [backoff(tries, None, draw) for _ in range(300)]
        bound = min(20, 0.5 * 2 ** (tries - 1))
        assert 0 <= min(waits) < 0.1 * bound and 0.9 * bound < max(waits) <= bound


# What was shown

@pytest.mark.parametrize("first", [Delta("The rate "), Delta(reasoning="hm"), Delta(tool_call=ToolCall("1", "add", "{}"))])
@pytest.mark.parametrize("error", [BROKEN, RateLimitError("429"), TimeLimitError("late", "between tokens")])
def test_nothing_follows_what_was_shown(build, ledger, first, error):
    a, b = Fake([first, Delta("is"), error], says("never")), Fake(says("never"))
    got = []
    with pytest.raises(StreamInterrupted) as caught:
        for delta in build(a, b).stream("Hi"): got.append(delta.text)
    assert caught.value.partial == "".join(got) == first.text + "is" and caught.value.__cause__ is error
    assert (len(a.asked), len(b.asked)) == (1, 0) and a.closed == 1
    [row] = ledger.rows()
    assert row["status"] == "StreamInterrupted" and row["cost"] is None and row["input_tokens"] is None


def test_a_refusal_in_the_middle_does_not_splice_either(build):
    a, b = Fake([Delta("The rate "), RefusalError("filtered")]), Fake(says("never"))
    with pytest.raises(RefusalError): build(a, b).chat("Hi")
    assert b.asked == []


def test_an_end_without_content_is_held_back(build, ledger):
    "A filter may answer with nothing but an end and its bill; the next model's answer has one end, and both are booked"
    refused = [Delta(usage=Usage(500, 0), finish_reason="content_filter", model="gpt-4o"), RefusalError("filtered")]
    deltas = list(build(Fake(refused), Fake(says("Here"))).stream("Hi"))
    assert [delta.finish_reason for delta in deltas] == [None, "stop"] and [row["input_tokens"] for row in ledger.rows()] == [500, 1000]
    assert build(Fake([END])).chat("Hi").usage == END.usage, "an answer of nothing but an end still ends"


def test_an_interruption_that_the_provider_names_itself_comes_out_as_it_is(build):
    error = StreamInterrupted("cut", "The rate ")
    with pytest.raises(StreamInterrupted) as caught: build(Fake([Delta("The rate "), error])).chat("Hi")
    assert caught.value is error


def test_a_broken_stream_is_booked_with_what_is_known(build, ledger):
    with pytest.raises(StreamInterrupted): build(Fake([Delta("a", usage=Usage(1000, 1)), BROKEN])).chat("Hi")
    [row] = ledger.rows()
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("StreamInterrupted", 1000, 1) and row["cost"] == Decimal("0.00251")


def test_a_caller_that_leaves_closes_the_source_and_is_booked(build, ledger):
    llm = Fake(says(*"a" * 500))   # more than a pump reads in advance
    stream = build(llm).stream("Hi")
    assert next(stream).text == "a"
    stream.close()
    assert llm.closed == 1 and statuses(ledger) == [("gpt-4o", 1, "cancelled")]


# Fallbacks

@pytest.mark.parametrize("why, error", [("rate limit", RateLimitError("429")), ("outage", BROKEN), ("context", ContextLengthError("too long")), ("refusal", RefusalError("no")),
                                        ("outage", refused_key())])
def test_another_model_takes_over(build, ledger, why, error):
    a, b = Fake(error), Fake(says("Here"), model="gpt-4o-mini")
    reply = build(a, b, max_retries=1).chat("Hi")
    tries = 2 if why in ("rate limit", "outage") and error.retryable else 1
    assert reply.text == "Here" and reply.served_by == "gpt-4o-mini" and len(a.asked) == tries
    assert [row["attempt"] for row in ledger.rows()] == list(range(1, tries + 2))
    with pytest.raises(type(error)): build(a, b, max_retries=0, fall_back_on={"rate limit", "outage", "context", "refusal"} - {why}).chat("Hi")


def test_a_wrong_request_is_wrong_everywhere(build):
    b = Fake(says("never"))
    with pytest.raises(UsageError): build(Fake(UsageError("400")), b).chat("Hi")
    assert b.asked == []
    with pytest.raises(UsageError, match="Did you mean 'outage'"): build(b, fall_back_on=["outages"])


def test_a_long_wait_is_not_waited_for_where_there_is_another_model(build, clock):
    assert build(Fake(RateLimitError("429", 600.0)), Fake(says("Here"))).chat("Hi").text == "Here" and clock.slept == []


def test_a_model_that_is_down_is_skipped_then_probed_once(build, clock):
    a, b = Fake(BROKEN), Fake(says("b"))
    llm = build(a, b, max_retries=0, failures=3, cool_down_s=30)
    for _ in range(5): assert llm.chat("Hi").text == "b"
    assert len(a.asked) == 3
    clock.now += 30
    llm.chat("Hi")
    assert len(a.asked) == 4, "one probe, which failed"
    clock.now += 29.9
    llm.chat("Hi")
    assert len(a.asked) == 4
    clock.now += 0.1
    a.plays = [says("a")]
    assert [llm.chat("Hi").text for _ in range(2)] == ["a", "a"]


def test_failures_with_answers_between_them_skip_nobody(build):
    a, b = Fake(BROKEN, says("a"), BROKEN, says("a"), BROKEN, says("a")), Fake(says("b"))
    llm = build(a, b, max_retries=0, failures=2)
    assert [llm.chat("Hi").text for _ in range(6)] == ["b", "a"] * 3


def test_only_one_of_many_is_the_probe(build, clock):
    gate = asyncio.Event()
    async def held(): await gate.wait()
    a, b = Fake(BROKEN), Fake(says("b"))
    llm = build(a, b, max_retries=0, failures=1)
    llm.chat("Hi")
    clock.now += 30
    a.plays = [[held, *says("a")]]
    async def many():
        first = [asyncio.create_task(llm.achat("Hi")) for _ in range(10)]
        await asyncio.sleep(0.01)
        gate.set()
        return [(await task).text for task in first]
    assert sorted(aio.run(many())) == ["a"] + ["b"] * 9 and len(a.asked) == 2


def test_a_probe_that_is_abandoned_does_not_close_the_door(build, clock):
    a, b = Fake(BROKEN), Fake(says("b"))
    llm = build(a, b, max_retries=0, failures=1)
    llm.chat("Hi")
    clock.now += 30
    a.plays = [says(*"a" * 500)]
    stream = llm.stream("Hi")
    next(stream)
    stream.close()
    assert llm.chat("Hi").text == "a" * 500


def test_a_probe_that_gives_up_while_it_waits_does_not_either(build, clock):
    a, b = Fake(BROKEN), Fake(says("b"))
    llm = build(a, b, max_retries=0, failures=1, requests_per_minute=1, timeout_s=50, api_key="probe")
    assert llm.chat("Hi").text == "b"
    clock.now += 40
    assert llm.chat("Hi").text == "b", "the limit is free in 20 s, which is in time: the probe waits, and fails"
    clock.now += 30
    llm.config = llm.config.model_copy(update={"timeout_s": 10})
    assert llm.chat("Hi").text == "b", "the limit is free too late"
    clock.now += 60
    a.plays = [says("a")]
    assert llm.chat("Hi").text == "a"


def test_when_all_cool_down_the_error_says_so(build):
    llm = build(Fake(BROKEN, model="a"), Fake(BROKEN, model="b"), max_retries=0, failures=1)
    with pytest.raises(UnavailableError, match="broke off"): llm.chat("Hi")
    with pytest.raises(UnavailableError, match="openai:a, b.*cool-down of 30 s"): llm.chat("Hi")


def test_a_single_model_is_never_skipped(build):
    llm = Fake(BROKEN)
    chain = build(llm, max_retries=0, failures=1)
    for _ in range(3):
        with pytest.raises(UnavailableError): chain.chat("Hi")
    assert len(llm.asked) == 3


# Limits

def test_a_hundred_requests_at_sixty_a_minute_take_forty_seconds_and_keep_their_order(build, clock):
    llm, started = Fake(says("ok")), []
    chain = build(llm, requests_per_minute=60)
    async def one(number):
        await chain.achat("Hi")
        started.append(number)
    async def main():
        for number in range(100): await one(number)
    aio.run(main())
    assert clock.now == pytest.approx(40) and started == list(range(100))


def test_many_at_once_wait_their_turn(clock):
    bucket = Bucket(60, clock)
    waits = [bucket.take(1) for _ in range(70)]
    assert waits == sorted(waits) and waits[-1] == pytest.approx(10)


def test_tokens_are_estimated_then_corrected(build, clock):
    llm = Fake(says("ok"))                                       # uses 1,100 tokens
    chain = build(llm, tokens_per_minute=1200, max_tokens=100)
    chain.chat("x" * 400)                                        # estimated at 200
    assert clock.slept == []
    chain.chat("x" * 400)
    assert clock.slept == [pytest.approx(5.0)], "1,100 of 1,200 are used; 200 more are covered after 100 / 20 s"


def test_models_with_one_key_share_a_limit_and_other_keys_do_not(build, clock):
    first, same, other = [build(Fake(says("ok")), requests_per_minute=1, api_key=key) for key in ("a", "a", "b")]
    first.chat("Hi")
    other.chat("Hi")
    assert clock.slept == []
    same.chat("Hi")
    assert clock.slept == [60.0]


def test_a_limit_that_is_used_up_for_too_long_says_so_and_takes_nothing(build, clock, ledger):
    llm = Fake(says("ok"))
    chain = build(llm, requests_per_minute=1, timeout_s=30)
    chain.chat("Hi")
    for _ in range(3):
        with pytest.raises(RateLimitError, match="requests_per_minute") as caught: chain.chat("Hi")
        assert caught.value.retry_after == 60.0, "what was refused does not count"
    assert len(llm.asked) == 1 and len(ledger.rows()) == 1
    with_another = build(llm, Fake(says("b")), requests_per_minute=1, timeout_s=30)
    assert with_another.chat("Hi").text == "b", "another model takes over"


def test_a_cancelled_wait_gives_its_place_back(clock):
    async def never(seconds): await asyncio.Event().wait()
    chain = ResilientLLM([Fake(says("ok"))], LLMConfig(requests_per_minute=1), clock=clock, sleep=never)
    async def main():
        await chain.achat("Hi")
        waiting = asyncio.create_task(chain.achat("Hi"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return chain.seats[0].limits[0][0].take(0)
    assert aio.run(main()) == 0.0


@settings(max_examples=60, deadline=None)
@given(per_minute=st.integers(1, 600), steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), min_size=1, max_size=40))
def test_no_stretch_of_time_gets_more_than_the_bucket_holds(per_minute, steps):
    now = [0.0]
    bucket, used = Bucket(per_minute, lambda: now[0]), []
    for pause, amount in steps:
        now[0] += pause
        used.append((now[0] + bucket.take(amount), amount))
    starts = [start for start, _ in used]
    assert starts == sorted(starts), "in the order of arrival"
    largest = max(amount for _, amount in used)
    for i in range(len(used)):
        for j in range(i, len(used)):
            window = used[j][0] - used[i][0]
            assert sum(amount for _, amount in used[i:j + 1]) <= max(per_minute, largest) + window * per_minute / 60 + 1e-6


# Money

SHAPES = {
    "usage after the finish": [Delta("a"), Delta(finish_reason="stop", model="gpt-4o"), Delta(usage=END.usage)],
    "usage with the finish": says("a"),
    "usage with the last text": [Delta("a", usage=END.usage, finish_reason="stop", model="gpt-4o")],
    "usage growing": [Delta("a", usage=Usage(1000, 1, 400), model="gpt-4o"), Delta("b", usage=Usage(1000, 50, 400)), END],
    "usage first": [Delta(usage=Usage(1000, 1), model="gpt-4o"), Delta("a"), END],
    "usage last of all, without a model": [Delta("a"), Delta(usage=END.usage, finish_reason="stop")],
    "a tool call": [Delta(tool_call=ToolCall("1", "add", "{}")), END],
    "cached, written and thought": [Delta("a"), Delta(usage=Usage(1000, 100, 400, 30), finish_reason="stop", model="gpt-4o")],
}

@pytest.mark.parametrize("shape", SHAPES)
def test_streamed_costs_what_buffered_costs(build, ledger, shape):
    llm = build(Fake(SHAPES[shape]))
    streamed = [delta for delta in llm.stream("Hi")]
    reply = llm.chat("Hi")
    first, second = ledger.rows()
    assert first["cost"] == second["cost"] == cost(reply.usage, "gpt-4o", load_prices()) == Decimal("0.003")
    assert [delta.cost for delta in streamed if delta.cost is not None][-1] == reply.cost == 0.003
    assert {k: v for k, v in first.items() if k not in ("time", "request", "seconds")} == {k: v for k, v in second.items() if k not in ("time", "request", "seconds")}


def test_a_reported_name_that_is_unknown_is_priced_as_what_was_asked_for(build):
    assert build(Fake([Delta("a"), Delta(usage=END.usage, model="gpt-4o-2031-01-01", finish_reason="stop")])).chat("Hi").cost == 0.003


@pytest.mark.parametrize("end", [Delta(usage=Usage(10, 5), finish_reason="stop", model="m-1"), Delta(usage=Usage(), finish_reason="stop", model="gpt-4o"), Delta(finish_reason="stop")])
def test_what_has_no_price_or_no_counts_is_unpriced_not_free(build, ledger, end):
    assert build(Fake([Delta("a"), end], model="m-1" if end.model == "m-1" else "gpt-4o")).chat("Hi").cost is None
    [row] = ledger.rows()
    assert ledger.totals()[0]["unpriced"] == 1 and row["cost"] is None and row["input_tokens"] == (10 if end.model == "m-1" else None)


def test_a_locked_ledger_warns_and_the_answer_is_kept(build, ledger):
    llm = build(Fake(says("Hello")))
    holder = sqlite3.connect(ledger.path, isolation_level=None)
    holder.execute("begin immediate")
    ledger.connection.execute("pragma busy_timeout = 10")
    with pytest.warns(RuntimeWarning, match="missing in the ledger.*ledger.db"): assert llm.chat("Hi").text == "Hello"
    holder.execute("rollback")


# The cache

ADD, SUB = (Tool(name, "", {"type": "object", "properties": {}}, print) for name in ("add", "sub"))

@pytest.fixture
def cached(build, clock, tmp_path):
    "A chain with a cache, and the model under it"
    def make(*llms, **settings):
        llms = llms or (Fake(says("Hel", "lo")),)
        return build(*llms, cache=Cache(tmp_path / "cache.db", ttl_s=60, now=clock), **settings), llms[0]
    return make


def test_a_hit_asks_nobody_costs_nothing_and_streams_the_same(cached, ledger):
    llm, model = cached()
    first, second = list(llm.stream("Hi")), list(llm.stream("Hi"))
    assert len(model.asked) == 1 and [d.text for d in first] == [d.text for d in second] == ["Hel", "lo", ""]
    assert first[-1].usage == second[-1].usage and (first[-1].cost, second[-1].cost) == (0.003, 0.0)
    assert (first[-1].served_by, second[-1].served_by) == ("openai:gpt-4o", "cache:openai:gpt-4o")
    assert llm.chat("Hi").served_by == "cache:openai:gpt-4o", "a streamed answer serves a whole one"
    assert [(row["status"], row["attempt"], row["cost"]) for row in ledger.rows()] == [("ok", 1, Decimal("0.003"))] + [("cached", 0, 0)] * 2
    assert ledger.totals()[0]["cost"] == {"USD": Decimal("0.003")} and ledger.totals()[0]["input_tokens"] == 1000


def test_other_requests_and_other_tenants_miss(cached):
    llm, model = cached()
    for options in ({}, {"temperature": 0.1}, {"tools": [ADD]}, {"tools": [SUB]}, {"tools": [ADD], "tool_choice": "none"}): llm.chat("Hi", **options)
    llm.chat("Ho")
    llm.for_tenant("b").chat("Hi")
    assert len(model.asked) == 7
    llm.for_tenant("b").chat("Hi")
    llm.chat("Hi")
    assert len(model.asked) == 7


def test_an_old_or_a_changed_entry_misses(cached, clock):
    llm, model = cached()
    llm.chat("Hi")
    clock.now += 61
    llm.chat("Hi")
    llm.cache.connection.execute("update entries set body = replace(body, 'Hel', 'Hal')")
    assert llm.chat("Hi").text == "Hello" and len(model.asked) == 3


@pytest.mark.parametrize("play", [[Delta("a"), BROKEN], [Delta("a"), END, BROKEN], [Delta("a")], [Delta("a"), Delta(usage=Usage(1, 1), finish_reason="content_filter")]])
def test_only_whole_answers_are_kept(cached, play):
    llm, model = cached(Fake(play, says("whole")), max_retries=0)
    try: llm.chat("Hi")
    except StreamInterrupted: pass
    assert llm.chat("Hi").text == "whole" and len(model.asked) == 2


def test_an_answer_belongs_to_the_model_that_gave_it(cached):
    llm, a = cached(Fake(BROKEN, says("a")), Fake(says("b"), model="b"), max_retries=0)
    assert llm.chat("Hi").text == "b"
    assert llm.chat("Hi").text == "a", "the first model is asked again, not answered for"
    a.plays = [BROKEN]
    assert llm.chat("Hi").served_by == "cache:openai:gpt-4o"


# The rest

def test_one_frame_however_many_policies(build, tmp_path):
    class Sdk(LLM):
        model = "m"
        async def astream(self, messages, **options):
            raise UnavailableError("from the depth")
            yield
    plain = build(Sdk(), max_retries=0)
    everything = build(Sdk(), Sdk(), max_retries=2, requests_per_minute=600, tokens_per_minute=1e6, cache=Cache(tmp_path / "c.db"), tenant="t", failures=9)
    for llm in (plain, everything):
        with pytest.raises(UnavailableError) as caught: asyncio.run(llm.achat("Hi"))
        frames = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert sum(name == resilience.__file__ for name in frames) == 1, frames
        assert [name.rpartition("/")[2] for name in frames[-3:]] == ["base.py", "resilience.py", "test_resilience.py"], "nothing else stands between"


def test_the_form_is_asked_for_as_the_whole_chain_understands_it():
    native, words = Fake(says("{}")), Fake(says("{}"))
    native.structured = "native"
    assert ResilientLLM([native], LLMConfig()).structured == "native" and ResilientLLM([native, words], LLMConfig()).structured == "prompt"


def test_guard_wraps_only_what_asks_for_it(tmp_path, ledger):
    script = ScriptedLLM(["x"])
    assert guard(script, LLMConfig(provider="scripted")) is script is guard(script, LLMConfig(provider="openai", model="m", max_retries=0))
    (tmp_path / "p.yaml").write_text("prices: [{models: [scripted], valid_from: 2020-01-01, input: 1, output: 2}]\n")
    for asked in ({"requests_per_minute": 5}, {"tokens_per_minute": 5}, {"prices": str(tmp_path / "p.yaml")}):
        assert isinstance(guard(script, LLMConfig(provider="scripted", **asked)), ResilientLLM)
    assert guard(script, LLMConfig(provider="scripted"), ledger).ledger is ledger
    assert guard(script, LLMConfig(provider="scripted", prices=str(tmp_path / "p.yaml"))).chat("four").cost == pytest.approx(3e-6)
    nested = guard(script, LLMConfig(), fallbacks=[guard(Fake(BROKEN), LLMConfig(provider="openai", model="m")), Fake(BROKEN)])
    assert [type(seat.llm).__name__ for seat in nested.seats] == ["ScriptedLLM", "Fake", "Fake"], "a chain in a chain is one chain"


def test_guard_makes_the_cache_in_the_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GENAI_FACTORY_WORKSPACE", str(tmp_path))
    script = ScriptedLLM(["only once"])
    llm = guard(script, LLMConfig(provider="scripted", cache=True, cache_ttl_s=60))
    assert [llm.chat("Hi").text for _ in range(3)] == ["only once"] * 3 and len(script.asked) == 1
    assert (tmp_path / ".genai_factory/cache/replies.db").is_file()


def test_amap_keeps_order_bounds_and_errors():
    running, most = 0, 0
    class Counting(LLM):
        model = "m"
        async def astream(self, messages, **options):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001 * (int(messages[0].text) % 3))
            running -= 1
            if int(messages[0].text) % 10 == 7: raise UsageError("seven")
            yield Delta(messages[0].text)
    numbers = [str(n) for n in range(50)]
    answers = aio.run(amap(Counting(), numbers, concurrency=4, progress=False))
    assert [a.text if not isinstance(a, Exception) else "seven" for a in answers] == [n if int(n) % 10 != 7 else "seven" for n in numbers]
    assert most == 4 and aio.run(amap(Counting(), [])) == []
    with pytest.raises(UsageError, match="seven"): aio.run(amap(Counting(), numbers, on_error="raise"))


def test_an_interrupted_run_goes_on_where_it_stopped(cached):
    llm, model = cached(Fake(says("ok")))
    prompts = [str(n) for n in range(20)]
    aio.run(amap(llm, prompts[:12]))
    assert len(aio.run(amap(llm, prompts))) == 20 and len(model.asked) == 20


@pytest.mark.parametrize("strange", ["7", 7.5, [1], 10**30, -5])
def test_strange_counts_cost_the_price_not_the_answer(cached, ledger, strange):
    llm, _ = cached(Fake([Delta("paid for"), Delta(usage=Usage(strange, 1), finish_reason="stop", model="gpt-4o\ud800")]), tokens_per_minute=1000)
    reply = llm.chat("Hi")
    assert reply.text == "paid for" and reply.cost is None and reply.usage == Usage()
    row, = ledger.rows()
    assert row["status"] == "ok" and row["cost"] is None and row["input_tokens"] is None and llm.chat("Hi").text == "paid for"


def test_a_model_without_a_configuration_is_named_by_its_name(build):
    assert build(Fake(BROKEN), Fake(says("b"), model="mine"), max_retries=0).chat("Hi").served_by == "mine"


def test_a_request_larger_than_the_limit_is_told_so(build):
    with pytest.raises(RateLimitError, match="alone takes 1000 tokens, more than the 10 of a minute: shorten it, or raise"): build(Fake(says("a")), tokens_per_minute=10, timeout_s=3).chat("y" * 4000)


@pytest.mark.parametrize("tenant", [5, "\ud800"])
def test_a_tenant_is_text(build, tenant):
    for make in (lambda: build(Fake(says("a")), tenant=tenant), lambda: build(Fake(says("a"))).for_tenant(tenant)):
        with pytest.raises(UsageError, match="tenant"): make()


@pytest.mark.parametrize("asked, settings", [("abc", {}), (5, {}), (["a"], {"on_error": "rase"})])
def test_amap_says_what_it_takes(build, asked, settings):
    with pytest.raises(UsageError, match="list of questions|raise"): aio.run(amap(build(Fake(says("a"))), asked, **settings))
