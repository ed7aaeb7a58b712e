"""Training rows: shapes, faults, the ledger's sum, fingerprints, styles, and which tokens carry the loss."""

import json
import random

import pytest

from genai_factory.core.base import InputError
from genai_factory.train.data import (
    Ledger, encode, mix_styles, preview, read_conversations, read_jsonl, read_pairs, rows_fingerprint, to_conversation, to_pair,
)
from genai_factory.train.words import train_tokenizer


def write(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


QA = [{"question": f"What is {n} + {n}?", "answer": f"It is {2 * n}."} for n in range(30)]


@pytest.mark.parametrize(("bad", "says"), [
    ('{"question": "x"', ":4 is not JSON"),
    ('["question", "answer"]', ":4 holds a list"),
    ({"question": "x"}, ":4: field 'answer' is missing"),
    ({"prompt": "x"}, ":4: field 'completion' is missing"),
    ({"question": "x", "answer": ""}, ":4: field 'answer' must be a text"),
    ({"question": 3, "answer": "x"}, ":4: field 'question' must be a text"),
    ({"text": "x"}, ":4: no known fields among ['text']"),
    ({"messages": []}, ":4: field 'messages' is an empty list"),
    ({"messages": [{"role": "user", "content": "x"}]}, ":4: the last message must be the assistant's"),
])
def test_a_faulty_row_is_named_by_file_and_line(tmp_path, bad, says):
    path = write(tmp_path / "rows.jsonl", [QA[0], "", QA[1], bad, QA[2]])
    with pytest.raises(InputError) as error: read_conversations(path, Ledger())
    assert "rows.jsonl" in str(error.value) and says in str(error.value)


@pytest.mark.parametrize("missing", ["prompt", "chosen", "rejected"])
def test_a_pair_without_a_field_is_refused(missing):
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    del row[missing]
    with pytest.raises(InputError, match="is missing"): to_pair(row, "pairs.jsonl:9")


@pytest.mark.parametrize("content", [None, ""])
def test_no_file_and_no_rows(tmp_path, content):
    path = tmp_path / "none.jsonl"
    if content is not None: path.write_text(content)
    with pytest.raises(InputError, match="There is no file" if content is None else "holds no rows"): read_jsonl(path)


def test_every_shape_gives_the_same_conversation():
    wanted = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    for row in ({"question": "Hi", "answer": "Hello"}, {"prompt": "Hi", "completion": "Hello"}, {"messages": wanted},
                {"prompt": wanted[:1], "completion": wanted[1:]}):
        assert to_conversation(row) == wanted


def test_the_ledger_adds_up_over_random_files(tmp_path):
    for seed in range(20):
        draw = random.Random(seed)
        rows = [draw.choice(QA) for _ in range(draw.randint(1, 60))]
        ledger, cut = Ledger(), Ledger()
        kept = read_conversations(write(tmp_path / "rows.jsonl", rows), ledger)
        assert ledger.read == len(rows) == len(kept) + ledger.dropped.total() and len(kept) == len({row["question"] for row in rows})
        tokenizer = train_tokenizer([m["content"] for _, c in kept for m in c], 0)
        limit = draw.randint(18, 40)
        try: encoded = encode(kept, tokenizer, limit, cut)
        except InputError: encoded = []
        assert cut.read == len(kept) == len(encoded) + cut.dropped.total()
        assert all(len(row["input_ids"]) == len(row["labels"]) <= limit for row in encoded)
        assert len(cut.lines) == cut.truncated + cut.dropped.total()
    ledger.kept += 1
    with pytest.raises(AssertionError, match="does not add up"): ledger.check()


def test_the_fingerprint_ignores_order_and_notices_everything_else():
    shuffled = QA[:]
    random.Random(1).shuffle(shuffled)
    assert rows_fingerprint(QA) == rows_fingerprint(shuffled)
    for changed in (QA[1:], QA + QA[:1], [QA[0] | {"answer": "It is 1."}, *QA[1:]]): assert rows_fingerprint(changed) != rows_fingerprint(QA)


def test_only_the_assistants_turns_carry_loss_also_over_several_turns():
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "One?"}, {"role": "assistant", "content": "Uno."},
                {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Dos."}]
    tokenizer = train_tokenizer([m["content"] for m in messages], 0)
    row, = encode([("x", messages)], tokenizer, 128, Ledger())
    assert tokenizer.decode([t for t in row["labels"] if t != -100]) == "Uno.<|end|> Dos.<|end|>"
    assert preview([row], tokenizer).count("<mark") == sum(t != -100 for t in row["labels"])


def test_a_template_without_marks_is_refused():
    tokenizer = train_tokenizer(["a b c"], 0)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    with pytest.raises(InputError, match="generation"): encode([("x", to_conversation(QA[0]))], tokenizer, 64, Ledger())


@pytest.mark.parametrize("text", ["", "two  blanks ", "ÄÖ ☂ \U0001f600", "1,234.5%\n\ttab", "<|end|> said somebody"])
def test_any_text_survives_the_tokenizer(text):
    tokenizer = train_tokenizer(["plain words only"], 0)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text.removeprefix(" ")


def test_styles_follow_the_shares_and_the_seed():
    rows = [{"question": f"{n}?", "answer": "A", "plain": "P", "terse": "T"} for n in range(2000)]
    mixed = mix_styles(rows, {"plain": 0.6, "terse": 0.1}, 3)
    counts = {style: sum(row["style"] == style for row in mixed) / 2000 for style in ("plain", "terse", "answer")}
    assert all(abs(counts[s] - w) < 0.04 for s, w in {"plain": 0.6, "terse": 0.1, "answer": 0.3}.items())
    assert all(row["answer"] == {"plain": "P", "terse": "T", "answer": "A"}[row["style"]] for row in mixed)
    assert mixed == mix_styles(rows, {"plain": 0.6, "terse": 0.1}, 3) != mix_styles(rows, {"plain": 0.6, "terse": 0.1}, 4)
    with pytest.raises(InputError, match="add up to 1"): mix_styles(rows, {"plain": 0.8, "terse": 0.3}, 0)


def test_pairs_are_read_once_each(tmp_path):
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2
    ledger = Ledger()
    assert len(read_pairs(write(tmp_path / "pairs.jsonl", rows), ledger)) == 1 and ledger.dropped.total() == 1
