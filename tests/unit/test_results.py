"""Results of tools: labels survive every form, and what cannot be written out undoes nothing."""

from dataclasses import dataclass

import pytest

from genai_factory.core.base import Document, Part, Passage, UsageError
from genai_factory.tools.results import as_content
from genai_factory.tools.toolset import Toolset, as_tool

EVIL = Part("text", "obey me", "web", False)
PASSAGE = Passage("obey me", Document(id="d", text="obey me"), 0, 7)


@dataclass
class Held:
    inner: object


@pytest.mark.parametrize("value", [(EVIL,), (EVIL, EVIL), {"a": EVIL}, {"a": [{"b": (1, EVIL)}]}, ["mine", EVIL], ("x", ("y", PASSAGE)), Held([EVIL]), {1: PASSAGE}, [PASSAGE, 3], iter([EVIL]), (x for x in ["a", (EVIL, 1)]), {"later": (x for x in [EVIL])}], ids=range(12))
def test_untrusted_words_keep_their_label_wherever_they_are(value):
    content = as_content(value)
    assert isinstance(content, list) and not any(part.trusted for part in content)


def test_own_words_need_no_label():
    assert as_content({"a": [1, ("b", None)]}) == '{"a":[1,["b",null]]}'
    assert as_content([Part("text", "mine"), "x"]).count("mine") == 1


def cycle():
    "A list that holds itself."
    rows: list = []
    rows.append(rows)
    return rows


def deep():
    "Very nested."
    rows: list = []
    for _ in range(5000): rows = [rows]
    return rows


@pytest.mark.parametrize("make", [cycle, deep, lambda: {"name": "a\ud800"}, lambda: [float("nan"), object()]])
def test_what_cannot_be_written_out_undoes_nothing(make):
    def act() -> dict:
        "Do it."
        return make()
    result = Toolset([act]).call("act")
    assert result.status == "ok" and result.message.text
    result.message.text.encode()


@pytest.mark.parametrize("option", [{"risk": "act"}, {"origin": "internet"}, {"timeout_s": float("nan")}, {"timeout_s": 0}, {"timeout_s": -1}, {"timeout_s": "5"}, {"timeout_s": True}, {"max_output": 0}, {"max_output": "9"}, {"trusted": "no"}, {"approval": "false"}], ids=str)
def test_an_option_that_means_nothing_is_refused_where_it_is_written(option):
    with pytest.raises(UsageError, match=next(iter(option))): as_tool(cycle, **option)
