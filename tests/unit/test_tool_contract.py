"""The suite for authors of tools: kept by ours, and failed by tools that break one promise each."""

import dataclasses
import sqlite3
from contextlib import closing

import pytest

from genai_factory.core.base import Tool
from genai_factory.testing.tools import ToolCallsContract
from genai_factory.tools.calculator import calculator_tool
from genai_factory.tools.sql import sql_tool
from genai_factory.tools.toolset import as_tool


class TestCalculator(ToolCallsContract):
    arguments = {"expression": "loan_payment(10000, 9.9, 48)"}
    def make(self): return calculator_tool()


class TestSQL(ToolCallsContract):
    arguments = {"query": "SELECT count(*) FROM loans"}

    @pytest.fixture(autouse=True)
    def database(self, tmp_path):
        self.path = tmp_path / "bank.sqlite"
        with closing(sqlite3.connect(self.path)) as made: made.execute("CREATE TABLE loans (id INTEGER)")

    def make(self): return sql_tool(self.path)


def pay(
    euros: int,  # how much
):
    "Pay."
    return "paid"


class TestPay(ToolCallsContract):
    arguments = {"euros": 3}
    def make(self): return as_tool(pay, risk="acts")


def broken(name: str) -> Tool:
    "The paying tool with one promise broken"
    good = as_tool(pay, risk="acts")
    match name:
        case "its_schema_is_one_that_providers_accept": return dataclasses.replace(good, name="pay now")
        case "every_parameter_says_what_it_is": return dataclasses.replace(good, parameters={"type": "object", "properties": {"euros": {"type": "integer"}}, "required": ["euros"]})
        case "a_call_that_fits_is_answered": return dataclasses.replace(good, function=lambda euros: 1 / 0, name="pay")
        case "slips_are_told_to_the_model_and_never_raised": return dataclasses.replace(good, parameters={"type": "object", "properties": {"cents": {}}}, function=lambda **given: "paid")
        case "untrusted_results_are_labelled": return dataclasses.replace(good, origin="web", trusted=True)
        case _: return dataclasses.replace(good, inline=True, function=slow)


def slow(euros: int):
    "Pay slowly."
    import time
    time.sleep(0.6)
    return "paid"


@pytest.mark.parametrize("promise", ["its_schema_is_one_that_providers_accept", "every_parameter_says_what_it_is", "a_call_that_fits_is_answered", "slips_are_told_to_the_model_and_never_raised",
                                     "untrusted_results_are_labelled", "an_inline_tool_bounds_itself"])
def test_each_broken_promise_is_found(promise):
    suite = TestPay()
    suite.make = lambda: broken(promise)
    with pytest.raises(AssertionError): getattr(suite, f"test_{promise}")()


def test_acting_unasked_is_found(monkeypatch):
    monkeypatch.setattr("genai_factory.tools.toolset.needs_approval", lambda tool, tainted: False)
    with pytest.raises(AssertionError): TestPay().test_nobody_acts_unasked()
