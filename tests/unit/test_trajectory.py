"""Evaluators of agent runs: scores that were worked out by hand, and properties against counting by brute force."""

import math
from fractions import Fraction
from itertools import combinations, permutations
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.agents.react import ReactAgent
from genai_factory.core.base import Message, Score, ToolCall, UsageError
from genai_factory.core.configs import EvaluatorConfig
from genai_factory.core.records import Example
from genai_factory.evaluators.trajectory import (
    MODES, call_count, calls_of, cost_per_success, matched, pass_at_k, pass_hat_k, same_value, steps_used, tool_f1, tool_precision, tool_recall, trajectory_match)
from genai_factory.factory import make_evaluator
from genai_factory.llms.scripted import ScriptedLLM, asks
from genai_factory.orchestrator import evaluate
from genai_factory.testing.evaluators import EvaluatorEdges

SEARCH, ADD = {"name": "search", "arguments": {"query": "rates", "k": 5}}, {"name": "add", "arguments": {"a": 1}}


def trace(*calls, cost=None):
    "A run in which the model asked for these, one a step"
    return SimpleNamespace(messages=[Message("user", "go"), *(Message("assistant", tool_calls=[ToolCall("1", *call)]) for call in calls)], cost=cost)


RIGHT = trace(("search", '{"k": 5.0, "query": "rates"}'), ("add", '{"a": 1}'))
WRONG = trace(("web", "{}"))
PLAN = {"calls": [SEARCH, ADD]}


# The contract

class TestMatch(EvaluatorEdges):
    evaluator = staticmethod(trajectory_match)
    good = {"outputs": "12", "trace": RIGHT, "expectations": PLAN}
    bad = {"outputs": "12", "trace": WRONG, "expectations": PLAN}


class TestPrecision(TestMatch): evaluator = staticmethod(tool_precision)
class TestRecall(TestMatch): evaluator = staticmethod(tool_recall)
class TestF1(TestMatch): evaluator = staticmethod(tool_f1)


# Arguments

@pytest.mark.parametrize("wanted, got, same", [
    (1, 1.0, True), (1, True, False), (0, False, False), (1, "1", False), (None, None, True), ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2.0}]}, True),
    ([1, 2], [2, 1], False), ([1], [1, 1], False), ({"a": 1}, {"a": 1, "b": 2}, False), ({"a": 1, "b": 2}, {"a": 1}, False), ({"a": 1}, [1], False),
    ((1, 2), [1, 2], True), ({"a": str.isdigit}, {"a": "12"}, True), ({"a": [str.isdigit]}, {"a": ["x"]}, False), ("é", "é", True)])
def test_values_are_the_same_as_json_values(wanted, got, same): assert same_value(wanted, got) is same


def test_what_a_model_wrote_is_read_as_it_is():
    assert calls_of(trace(("a", ""), ("b", "null"), ("c", "{oops"), ("d", "[1]"))) == [("a", {}), ("b", {}), ("c", "{oops"), ("d", [1])]
    broken = trace(("search", "{oops"))
    assert trajectory_match(broken, {"calls": [{"name": "search"}]}).value == 1 and trajectory_match(broken, {"calls": [SEARCH]}).value == 0


def test_ignored_arguments_are_not_compared_on_either_side():
    more = trace(("search", '{"query": "rates", "k": 9}'))
    without = trace(("search", '{"query": "rates"}'))
    assert trajectory_match(more, {"calls": [SEARCH]}).value == trajectory_match(without, {"calls": [SEARCH]}).value == 0
    for run in (more, without):
        assert trajectory_match(run, {"calls": [SEARCH]}, ignore=["k"]).value == tool_f1(run, {"calls": [SEARCH]}, ignore=["k"]).value == 1
    assert trajectory_match(more, {"calls": [{"name": "search", "arguments": {}}]}).value == 0, "an empty object is an object without arguments"


# Modes and shares, by hand

def by_letters(letters): return trace(*((letter, "{}") for letter in letters))
def wanted(letters): return {"calls": [{"name": letter} for letter in letters]}


@pytest.mark.parametrize("expected, made, right", [
    ("ab", "ab", {"strict", "unordered", "in_order", "superset", "subset"}),
    ("ab", "ba", {"unordered", "superset", "subset"}),
    ("ab", "axb", {"in_order", "superset"}),
    ("ab", "bxa", {"superset"}),
    ("ab", "b", {"subset"}),
    ("ab", "", {"subset"}),
    ("ab", "ax", set()),
    ("aab", "abb", set()),
    ("ab", "aab", {"in_order", "superset"}),
    ("", "", {"strict", "unordered", "in_order", "superset", "subset"}),
    ("", "a", {"in_order", "superset"}),
])
def test_modes(expected, made, right):
    assert {mode for mode in MODES if trajectory_match(by_letters(made), wanted(expected), mode).value == 1} == right


@pytest.mark.parametrize("expected, made, precision, recall, f1", [
    ("ab", "ab", 1, 1, 1), ("ab", "axxb", 1 / 2, 1, 2 / 3), ("abc", "a", 1, 1 / 3, 1 / 2), ("aab", "abb", 2 / 3, 2 / 3, 2 / 3), ("ab", "xy", 0, 0, 0),
    ("ab", "", None, 0, 0), ("", "ab", 0, None, 0), ("", "", None, None, 1)])
def test_shares(expected, made, precision, recall, f1):
    scores = [score(by_letters(made), wanted(expected)) for score in (tool_precision, tool_recall, tool_f1)]
    assert [score.value for score in scores] == [pytest.approx(v) if v is not None else None for v in (precision, recall, f1)]
    assert all((score.status == "ok") == (score.value is not None) and score.rationale for score in scores)


def test_a_score_says_its_mode_and_what_was_called():
    assert trajectory_match(WRONG, PLAN).name == "trajectory_match" and trajectory_match(WRONG, PLAN, "subset").name == "trajectory_match_subset"
    assert trajectory_match(WRONG, PLAN).rationale == "expected search, add; called web"


@pytest.mark.parametrize("row, said", [({"calls": [SEARCH, {"tool": "x"}]}, r"\['calls'\]\[1\]"), ({"calls": ["search"]}, r"\[0\].*'search'"),
                                       ({"calls": [{"name": "a", "arguments": "{}"}]}, "arguments")])
def test_slips_in_expectations_are_named(row, said):
    for score in (trajectory_match, tool_precision, tool_recall, tool_f1):
        with pytest.raises(UsageError, match=said): score(RIGHT, row)


def test_no_trace_is_no_score_and_a_wrong_mode_an_error():
    assert {score("an answer", PLAN).status for score in (trajectory_match, tool_precision, tool_recall, tool_f1)} == {"invalid"}
    with pytest.raises(UsageError, match="Did you mean 'superset'"): trajectory_match(RIGHT, PLAN, "supreset")


def test_counts():
    both = SimpleNamespace(messages=[Message("assistant", tool_calls=[ToolCall("1", "a"), ToolCall("2", "a")]), Message("tool", "x"), Message("assistant", "done")])
    assert (call_count(both).value, steps_used(both).value) == (2, 2)


# Pairs, against every assignment

PLANS = st.lists(st.sampled_from([{"name": "a"}, {"name": "a", "arguments": {"n": 1}}, {"name": "a", "arguments": {"n": 2}}, {"name": "b"}]), max_size=4)
MADE = st.lists(st.sampled_from([("a", {"n": 1}), ("a", {"n": 2}), ("b", {})]), max_size=5)


def fits(one, call): return one["name"] == call[0] and one.get("arguments", call[1]) == call[1]


@settings(max_examples=150, deadline=None)
@given(PLANS, MADE)
def test_there_are_as_many_pairs_as_there_can_be(plan, made):
    padded = [*made, *[("nothing", {})] * len(plan)]
    best = max(sum(fits(one, call) for one, call in zip(plan, order)) for order in permutations(padded[:7], min(len(plan), 7)))
    assert matched(plan, made) == best


@settings(max_examples=100, deadline=None)
@given(PLANS, MADE, st.randoms(use_true_random=False))
def test_modes_imply_each_other(plan, made, random):
    import json
    run = trace(*((name, json.dumps(arguments)) for name, arguments in made))
    ok = {mode: bool(trajectory_match(run, {"calls": plan}, mode).value) for mode in MODES}
    assert ok["strict"] <= ok["unordered"] <= min(ok["superset"], ok["subset"]) and ok["strict"] <= ok["in_order"] <= ok["superset"]
    assert ok["unordered"] == (ok["superset"] and ok["subset"]) == (tool_f1(run, {"calls": plan}).value == 1)
    run.messages = random.sample(run.messages, len(run.messages))
    assert all(bool(trajectory_match(run, {"calls": plan}, mode).value) == ok[mode] for mode in ("unordered", "superset", "subset"))


# What a success costs

def test_failed_runs_are_paid_too():
    runs = [trace(cost=cost) for cost in (1, 2, 3, 6)]
    assert cost_per_success(runs, [1, 0, 0, 1]).value == 6 and cost_per_success(runs, [Score("x", 1.0), Score("x", None, "timeout"), 0.5, 0]).value == 12
    assert cost_per_success(runs, [0] * 4) == cost_per_success(runs, [False] * 4) and cost_per_success(runs, [0] * 4).low == math.inf
    sure = cost_per_success([trace(cost=2)] * 9, [1] * 9)
    assert (sure.value, sure.low, sure.high, sure.n) == (2, 2, 2, 9)


def test_the_interval_of_a_price_narrows_and_has_no_end_where_success_is_rare():
    few, many = (cost_per_success([trace(cost=1)] * n, [1, 0] * (n // 2)) for n in (20, 320))
    assert few.low < many.low < 2 == few.value == many.value < many.high < few.high < math.inf
    rare = cost_per_success([trace(cost=1)] * 20, [1] + [0] * 19)
    assert rare.value == 20 and rare.low < 20 and rare.high == math.inf, "about a third of the resamples hold no success"
    assert rare == cost_per_success([trace(cost=1)] * 20, [1] + [0] * 19)


@pytest.mark.parametrize("runs, scores, said", [([1, None], [1, 1], r"1 of 2 runs cost is unknown, first that of runs\[1\]"), ([1], [1, 1], "1 runs and 2 scores"), ([], [], "at least one")])
def test_prices_need_known_costs_and_a_score_each(runs, scores, said):
    with pytest.raises(UsageError, match=said): cost_per_success([trace(cost=cost) for cost in runs], scores)


# All of k, one of k

def test_estimates_by_hand():
    assert pass_hat_k([3], 5, 2).value == pytest.approx(3 / 10) and pass_at_k([3], 5, 2).value == pytest.approx(9 / 10)
    assert pass_hat_k([4, 1, 0], 4, 2).value == pytest.approx(1 / 3) and pass_at_k([4, 1, 0], 4, 2).value == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert pass_hat_k([8], 10, 1).value == pass_at_k([8], 10, 1).value == pytest.approx(0.8)
    assert 0 < pass_hat_k([1900], 2000, 900).value < 1, "no overflow with many tries"


TRIES = st.lists(st.booleans(), min_size=1, max_size=7)


@settings(max_examples=100, deadline=None)
@given(TRIES, st.data())
def test_estimates_count_every_choice_of_k_tries(tries, data):
    n, c, k = len(tries), sum(tries), data.draw(st.integers(1, len(tries)))
    chosen = list(combinations(tries, k))
    assert pass_hat_k([c], n, k).value == pytest.approx(float(Fraction(sum(map(all, chosen)), len(chosen))))
    assert pass_at_k([c], n, k).value == pytest.approx(float(Fraction(sum(map(any, chosen)), len(chosen))))


@pytest.mark.parametrize("p, k", [(0.7, 3), (0.2, 2), (1.0, 4)])
def test_estimates_are_without_bias(p, k):
    "Summed over what n = 6 tries of a task that succeeds with probability p can give"
    n = 6
    chance = [math.comb(n, c) * p ** c * (1 - p) ** (n - c) for c in range(n + 1)]
    assert sum(w * pass_hat_k([c], n, k).value for c, w in enumerate(chance)) == pytest.approx(p ** k)
    assert sum(w * pass_at_k([c], n, k).value for c, w in enumerate(chance)) == pytest.approx(1 - (1 - p) ** k)


def test_intervals_take_tasks_as_drawn():
    few, many = pass_hat_k([4, 2, 0, 3], 4, 2), pass_hat_k([4, 2, 0, 3] * 30, 4, 2)
    assert few.n == 4 and many.n == 120 and few.low < many.low < many.value < many.high < few.high
    assert pass_hat_k([4] * 8, 4, 4).low < 0.8, "eight tasks that always succeed do not show that every task does"


@pytest.mark.parametrize("successes, n, k, said", [([1], 2, 3, "k = 3"), ([1], 2, 0, "k = 0"), ([1, 3], 2, 1, r"successes\[1\] = 3"), ([-1], 2, 1, "-1")])
def test_impossible_counts_are_refused(successes, n, k, said):
    for estimate in (pass_hat_k, pass_at_k):
        with pytest.raises(UsageError, match=said): estimate(successes, n, k)


# With an agent

def test_an_evaluation_hands_on_the_trace_and_two_modes_stand_side_by_side():
    def add(a: int, b: int = 0): # one number and another
        "Adds."
        return a + b
    plays = lambda messages: "2" if messages[-1].role == "tool" else asks(("add", {"a": 1, "b": 1}), ("add", {"a": 1}))
    chosen = [make_evaluator("trajectory_match"), make_evaluator(EvaluatorConfig(name="trajectory_match", options={"mode": "superset"})),
              *map(make_evaluator, ("tool_precision", "tool_recall", "tool_f1", "call_count", "steps_used"))]
    found = evaluate(ReactAgent(ScriptedLLM(plays), tools=[add]), [Example("x", {"question": "1 + 1?"}, {"calls": [{"name": "add", "arguments": {"a": 1, "b": 1}}]})],
                     chosen, progress=False)
    assert {name: score.value for name, score in found.rows[0].scores.items()} == {
        "trajectory_match": 0, "trajectory_match_superset": 1, "tool_precision": 0.5, "tool_recall": 1, "tool_f1": pytest.approx(2 / 3), "call_count": 2, "steps_used": 2}
