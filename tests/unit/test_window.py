"""Messages are cut to a budget between turns: never over it, never between a tool call and its result."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core.base import ContextLengthError, Document, Message, Part, Passage, ToolCall
from genai_factory.core.window import cut_pairs, fit, message_tokens, total_tokens, turns

words = st.text(st.characters(codec="utf-8"), max_size=60)
DOCUMENT = Document("d", "")


def count(text): return (len(text) + 3) // 4


@st.composite
def turn(draw, number):
    "A question, perhaps tools at work for it (in parallel, in rounds), perhaps an answer; perhaps the person speaks in between"
    passages = [Part("passage", Passage(draw(words), DOCUMENT, 0, 0), "document", False) for _ in range(draw(st.integers(0, 4)))]
    made = [Message("user", [*passages, Part("text", draw(words))] if passages else draw(words))]
    for r in range(draw(st.integers(0, 2))):
        ids = [f"{number}.{r}.{i}" for i in range(draw(st.integers(1, 3)))]
        made.append(Message("assistant", draw(words), [ToolCall(i, "look", '{"q": 1}') for i in ids]))
        if draw(st.booleans()) and draw(st.booleans()): made.append(Message("user", draw(words)))
        made += [Message("tool", draw(words), tool_call_id=i) for i in draw(st.permutations(ids))]
    return made + [Message("assistant", draw(words))] * draw(st.booleans())


@st.composite
def conversation(draw):
    head = [Message("system", draw(words))] * draw(st.integers(0, 1)) + [Message("assistant", "Welcome.")] * draw(st.booleans())
    return head + [m for n in range(draw(st.integers(1, 6))) for m in draw(turn(n))]


@settings(max_examples=150, deadline=None)
@given(conversation(), st.integers(0, 400))
def test_the_result_is_within_the_budget_and_whole(messages, budget):
    assert not cut_pairs(messages)
    asked = [m for m in turns([m for m in messages if m.role != "system"])[-1] if m.role == "user"]
    try: kept = fit(messages, budget, count)
    except ContextLengthError as error:
        bare = [m if isinstance(m.content, str) else Message(m.role, m.text) for m in turns([m for m in messages if m.role != "system"])[-1]]
        assert total_tokens([*(m for m in messages if m.role == "system"), *bare], count) > budget - 4, error
        return
    assert total_tokens(kept, count) <= budget
    assert not cut_pairs(kept)
    assert [m for m in kept if m.role == "system"] == [m for m in messages if m.role == "system"]
    assert [m.text for m in asked] == [m.text for m in kept if m.role == "user"][-len(asked):]
    rest = [(m.role, m.text, m.tool_call_id) for m in messages if m.role != "system"]
    after = [(m.role, m.text, m.tool_call_id) for m in kept if m.role != "system"]
    assert after == rest[len(rest) - len(after):]                       # the newest, in order, words untouched
    assert fit(messages, budget, count) == kept
    if total_tokens(messages, count) <= budget: assert kept == messages  # nothing goes without need


def test_the_best_passages_stay():
    parts = [Part("passage", Passage(f"{n}" * 40, DOCUMENT, 0, 0), "document", False) for n in range(5)]
    question = Message("user", [*parts, Part("text", "What?")])
    shorter = fit([Message("user", "old " * 50), question], 45, count)
    assert len(shorter) == 1 and [p.text[0] for p in shorter[0].passages] == ["0", "1", "2"]
    assert len(question.passages) == 5


@pytest.mark.parametrize("part", [Part("reasoning", {"type": "thinking", "thinking": "x" * 400}), Part("file", b"x" * 300), Part("file", "p" * 400)])
def test_everything_that_is_sent_is_counted(part):
    assert message_tokens(Message("assistant", [part]), count) >= 100


def test_the_error_says_what_does_not_fit():
    with pytest.raises(ContextLengthError, match=r"take 104 tokens.*system message 29.*budget is 100"):
        fit([Message("system", "s" * 100), Message("user", "q" * 400)], 100, count)
    with pytest.raises(ContextLengthError, match="system message"): fit([Message("system", "s" * 400)], 100, count)


def test_a_cut_pair_is_seen():
    call, result = Message("assistant", tool_calls=[ToolCall("a", "f")]), Message("tool", "1", tool_call_id="a")
    assert cut_pairs([result, call]) == {"a"} and cut_pairs([call]) == {"a"} and not cut_pairs([call, result, call, result])
