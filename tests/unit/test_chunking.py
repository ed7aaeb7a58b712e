"""Passages are exact pieces of their document, lose nothing, and keep to the budget."""
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core.base import Document
from genai_factory.rag.chunking import context, count_tokens, sentences, split_document

WORDS = st.text("abc éß.,!?5\n-", min_size=0, max_size=400)


@given(WORDS)
@settings(max_examples=150, deadline=None)
def test_sentences_cover_everything_but_white_space(text):
    spans = sentences(text)
    assert all(start < end and text[start:end].strip() == text[start:end] for start, end in spans)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))
    assert "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())


@given(WORDS, st.integers(4, 40), st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_passages_are_exact_lose_nothing_and_keep_to_the_budget(text, budget, overlap):
    document = Document("d", text)
    passages = split_document(document, budget, overlap)
    assert all(text[p.start:p.end] == p.text and p.text.strip() for p in passages)
    covered = set().union(*(range(p.start, p.end) for p in passages)) if passages else set()
    assert all(i in covered for i, c in enumerate(text) if not c.isspace())
    assert all(count_tokens(p.text) <= budget + 2 for p in passages if len(p.text.split()) > 1)
    assert [p.start for p in passages] == sorted({p.start for p in passages})


@pytest.mark.parametrize("text, count", [
    ("It costs 3.5 % p.a. or less. See www.example.org. Done.", 3), ("Dr. Lee and Mr. B. Ono met. They left.", 2), ("Call No. 7 today. Bring ID.", 2),
    ("We close at 5 p.m. Please hurry.", 2), ("Use it, e.g. abroad, i.e. Outside. Fine.", 2), ("One line\nwrapped here. Two.", 2), ("Why?! Because. “Yes.” No.", 4),
    ("Fees:\n- one\n- two\n1. three", 4), ("Heading without stop\n\nA sentence.", 2), ("The U.S. Army came. It went.", 2), ("Wait... there is more. End.", 2)])
def test_sentence_ends(text, count): assert len(sentences(text)) == count, [text[s:e] for s, e in sentences(text)]


def test_headings_make_sections_and_paths():
    text = "Guide\n\nCards\n\nGold\n\nThe fee is 30.\n\nSilver\n\nFree.\n\nLoans\n\nAsk."
    marks = [[text.index(name), level, name] for name, level in (("Guide", 1), ("Cards", 2), ("Gold", 3), ("Silver", 3), ("Loans", 2))]
    passages = split_document(Document("g", text, title="Guide", metadata={"headings": marks}))
    assert [(p.text, p.metadata["heading"]) for p in passages] == [("The fee is 30.", "Cards > Gold"), ("Free.", "Cards > Silver"), ("Ask.", "Loans")]
    assert context(passages[0]) == "Guide. Cards > Gold\n"


def test_paragraphs_are_packed_and_long_ones_overlap_by_a_sentence():
    short = Document("s", "One two.\n\nThree four.\n\n" + " ".join(["word"] * 30) + ".")
    assert [p.text.split("\n\n") for p in split_document(short, 20)][0] == ["One two.", "Three four."]
    long = Document("l", "A first thing is said. Then a second thing. Then a third thing. And a fourth thing.")
    passages = split_document(long, 14, overlap_sentences=1)
    assert len(passages) > 2
    for before, after in zip(passages, passages[1:]):
        assert after.start < before.end and re.match("Then|And", after.text)
    apart = split_document(long, 14, overlap_sentences=0)
    assert all(a.end <= b.start for a, b in zip(apart, apart[1:]))


def test_pages_and_cells_are_known():
    document = Document("p", "First page.\n\n" + "Second page. " * 30, metadata={"pages": [[0, 1], [13, 2]]})
    assert [p.metadata["page"] for p in split_document(document, 40)][:1] == [1]
    assert split_document(document, 40)[-1].metadata["page"] == 2


def test_counting_without_spaces_is_not_blind(): assert count_tokens("銀行口座" * 10) >= 40
