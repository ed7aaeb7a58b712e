"""What people hand to a model by mistake, and what must never leave: refused with its place, for every provider alike."""

import pytest

from genai_factory.core.base import LLM, Delta, Message, Part, ToolCall, UsageError, as_messages
from genai_factory.core.sending import all_mended, mended, options_of, sendable

CALL, RESULT, HI = Message("assistant", tool_calls=[ToolCall("c1", "add")]), Message("tool", "3", tool_call_id="c1"), Message("user", "Hi")


class Echo(LLM):
    model = "echo"
    async def astream(self, messages, **options): yield Delta(messages[-1].text, finish_reason="stop")


@pytest.mark.parametrize("given", ["Hi", HI, [HI], (HI,), {"role": "user", "content": "Hi"}, [{"role": "user", "content": "Hi"}]])
def test_every_form_of_a_prompt(given):
    assert as_messages(given) == [HI] and Echo().chat(given).text == "Hi" and [d.text for d in Echo().stream(given)] == ["Hi"]


WRONG = [(None, "prompt is NoneType"), (5, "prompt is int"), (b"x", "prompt is bytes"), (["a"], r"messages\[0\] is str: 'a'"), ([HI, None], r"messages\[1\] is NoneType"),
         ([{"rolle": "user", "content": "x"}], "Did you mean 'role'"), ([{"role": "user", "content": None}], r"messages\[0\]"), ([{"role": "user"}], r"messages\[0\]"),
         ([HI, Message("assistant", None)], r"messages\[1\]\.content is NoneType"), ([Message("user", 5)], "content is int"),
         ([Message("user", ["a"])], r"content\[0\] is str"), ([Message("user", [Part("text", None)])], r"content\[0\] is a text part that holds NoneType"),
         ([Message("user", [Part("passage", "x")])], "passage part that holds str")]

@pytest.mark.parametrize("given, said", WRONG)
def test_a_wrong_type_is_named_with_its_place(given, said):
    for ask in (Echo().chat, lambda p: list(Echo().stream(p)), sendable):
        with pytest.raises(UsageError, match=said): ask(given)


@pytest.mark.parametrize("turns, said", [([], "no message"), ([HI, Message("robot", "x")], r"messages\[1\]: there is no role 'robot'"), ([HI, Message("tool", "3")], r"messages\[1\].*None"),
    ([HI, RESULT], r"messages\[1\].*'c1'"), ([HI, CALL], r"messages\[0?1\] calls tools, and no result of \['c1'\]"), ([CALL, HI, RESULT], r"messages\[0\] calls"),
    ([HI, CALL, RESULT, RESULT], r"messages\[3\]"), ([Message("user", [Part("text", "See:"), Part("file", b"x")])], r"messages\[0\] holds a file.*rag\.loaders")])
def test_a_conversation_that_cannot_be_followed_is_refused(turns, said):
    with pytest.raises(UsageError, match=said): sendable(turns)


def test_a_conversation_with_parallel_calls_in_any_order_is_sent():
    calls = Message("assistant", tool_calls=[ToolCall("a", "f"), ToolCall("b", "f")])
    turns = [HI, calls, Message("tool", "2", tool_call_id="b"), Message("tool", "1", tool_call_id="a"), HI, CALL, RESULT]
    assert sendable(turns) == turns


@pytest.mark.parametrize("wrong", [{"temperature": "hot"}, {"temperature": 3}, {"max_tokens": -1}, {"max_tokens": 0}, {"seed": "a"}, {"stop": 5}, {"stop": [""]}, {"stop": [1]}])
def test_options_of_a_call_have_the_bounds_of_the_configuration(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))): options_of(wrong)
    assert options_of({"temperature": 0, "max_tokens": None, "stop": ["a"], "other": 1}) == {"temperature": 0.0, "max_tokens": None, "stop": ["a"], "other": 1}


def test_halves_of_characters():
    assert mended("a\ud800b") == "a\ufffdb" and mended("\ud83e\udd86") == "🦆" and mended("Grüße") == "Grüße"
    assert all_mended({"\udfff": [{"a": "\ud800"}, 1, None]}) == {"\ufffd": [{"a": "\ufffd"}, 1, None]}
