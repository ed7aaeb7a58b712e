"""Values out of a model's text: the right one is found, what does not fit is told in words, and a wrong form is refused before anything is sent."""

import enum
import json
from datetime import date
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from genai_factory.core.base import LLM, AnswerError, Delta, UsageError
from genai_factory.core.structured import find_json, parse_answer, schema_of


class X(BaseModel):
    x: int

SCHEMA = schema_of(X)["schema"]
ANY = {"type": ["object", "array"]}


class Says(LLM):
    "Always says the same, and counts how often"
    def __init__(self, text): self.text, self.asked = text, 0
    async def astream(self, messages, **options):
        self.asked += 1
        yield Delta(self.text, finish_reason="stop")


@pytest.mark.parametrize("text, value", [
    ('As said in [1], the answer is {"x":2}', 2), ('<think>{"x":9}</think>{"x":2}', 2), (' <think>\nno [brackets</think>\n```json\n{"x": 2}\n```', 2),
    ('First {"x": 1}, no: {"x": 2}. See [3].', 2), ('{"x": 2} {"y": 3}', 2), ('{note: {"x": 2}}', 2), ('{"x": 2, "why": "<think>a</think>"}', 2),
])
@pytest.mark.parametrize("form", [X, SCHEMA])
def test_the_last_value_that_fits_is_taken(text, value, form):
    found = parse_answer(text, form)
    assert (found.x if form is X else found["x"]) == value


def test_an_answer_that_never_came_is_not_found_in_the_thoughts():
    with pytest.raises(ValueError, match="not JSON"): parse_answer('<think>perhaps {"x": 9}', X)
    assert find_json("[1] and [2]") == [2]


def test_the_problem_told_is_that_of_the_longest_value():
    with pytest.raises(ValueError, match="x: "): parse_answer('{"x": "much too much"} [1]', X)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "[" * 50_000 + "]" * 50_000], ids=["open", "objects", "lists"])
@pytest.mark.parametrize("form", [X, ANY, Any], ids=["model", "schema", "any"])
def test_deep_nesting_is_a_wrong_answer_not_a_crash(text, form):
    with pytest.raises(ValueError): parse_answer(text, form)
    llm = Says(text)
    with pytest.raises(AnswerError): llm.chat("Hi", response_format=form, repairs=2)
    assert llm.asked == 3


def test_a_validator_that_fails_in_its_own_way_is_a_wrong_answer():
    class Fails(BaseModel):
        x: int
        @field_validator("x")
        @classmethod
        def check(cls, value): return {}[value]
    with pytest.raises(ValueError, match="KeyError: 2"): parse_answer('{"x": 2}', Fails)


def test_strict_forms_take_what_json_can_say():
    class Kind(enum.Enum): A = "a"
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        kind: Kind
        pair: tuple[int, int]
    assert parse_answer('So: {"day": "2026-01-02", "kind": "a", "pair": [1, 2]}', Strict) == Strict(day=date(2026, 1, 2), kind=Kind.A, pair=(1, 2))
    with pytest.raises(ValueError, match="pair.0"): parse_answer('{"day": "2026-01-02", "kind": "a", "pair": ["1", 2]}', Strict)


class Row(TypedDict):
    x: int

@pytest.mark.parametrize("form", [5, "json", "int", object(), {"type": "objekt"}, {"properties": 5}, {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s.json"}}},
                                  {"$ref": "other.json"}, {"name": "n", "schema": {"$ref": "file:///etc/passwd"}}, {"name": "n", "schema": 5}], ids=str)
def test_a_wrong_form_is_refused_before_anything_is_sent(form):
    llm = Says("{}")
    with pytest.raises(UsageError, match="response_format"): llm.chat("Hi", response_format=form)
    assert not llm.asked


def test_a_typed_dictionary_works_or_is_refused_in_words():
    try: assert parse_answer('{"x": 1}', Row) == {"x": 1}
    except UsageError as error: assert "form" in str(error)
    llm = Says('{"x": 1}')
    try: assert llm.chat("Hi", response_format=Row).parsed == {"x": 1}
    except UsageError as error: assert "typing_extensions" in str(error) and not llm.asked


def test_references_inside_the_schema_work_and_nothing_is_fetched(monkeypatch):
    import urllib.request
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("fetched"))
    inside = {"$defs": {"n": {"type": "integer"}, "m": {"$id": "https://example.org/m", "type": "string"}}, "type": "object",
              "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "https://example.org/m"}}}
    assert parse_answer('{"a": 1, "b": "x"}', inside) == {"a": 1, "b": "x"}
    with pytest.raises(ValueError, match="a: "): parse_answer(json.dumps({"a": "x"}), inside)
    with pytest.raises(UsageError, match="missing"): parse_answer('{"a": 1}', {"$ref": "#/$defs/missing"})
