"""From a question to the sentence, and from an answer back to the place."""
import numpy as np
import pytest

from genai_factory.core.base import Citation, Document, Passage
from genai_factory.rag.citations import SIGNS, WEIGHTS, SentenceScorer, cite, find_citations, has_kind, marks, question_kind, stands
from genai_factory.rag.chunking import sentences, split_document


def passage(id, text, **metadata): return Passage(text, Document(id, text, id, id), 0, len(text), metadata=metadata)


CARD = passage("cards/gold-card.md", "Our card is gold. The yearly fee is 48 dollars. The cash limit is 500 dollars a day.", heading="Fees", page=3)
LOAN = passage("loans/car.loan.md", "The car loan runs for 5 years. The fee is 30 dollars.")


class Blind:
    "All texts mean the same, so only words decide."
    name, dimension = "blind", 2
    def embed(self, texts): return np.tile(np.array([[1.0, 0.0]], "float32"), (len(texts), 1))


def test_a_citation_knows_its_place_and_a_false_one_is_found_out():
    good = cite(CARD, 18, 47)
    assert good.quote == "The yearly fee is 48 dollars." and good.metadata == {"heading": "Fees", "page": 3} and stands(good, CARD.document)
    for change in ({"quote": "The yearly fee is 49 dollars."}, {"start": 19}, {"end": 9999}, {"document_id": "other.md"}, {"start": -5}):
        fields = {name: getattr(good, name) for name in Citation.__slots__}
        assert not stands(Citation(**(fields | change)), CARD.document), change


@pytest.mark.parametrize("answer, quotes", [
    ("It costs 48 dollars a year. [gold-card]", ["The yearly fee is 48 dollars."]), ("Up to 500 dollars in cash. [gold-card]", ["The cash limit is 500 dollars a day."]),
    ("48 dollars a year [gold-card], and the loan takes 30 dollars. [car.loan]", ["The yearly fee is 48 dollars.", "The fee is 30 dollars."]),
    ("It is free. [platinum]", []), ("No mark at all.", []), ("See [gold-card] and [gold-card]", ["Our card is gold."]), ("[gold-card]", None),
    ("Full id works for 30 dollars. [loans/car.loan.md]", ["The fee is 30 dollars."])])
def test_marks_resolve_to_sentences(answer, quotes):
    found = find_citations(answer, [CARD, LOAN])
    assert all(c.quote == {CARD.document.id: CARD, LOAN.document.id: LOAN}[c.document_id].document.text[c.start:c.end] for c in found)
    if quotes is not None: assert [c.quote for c in found] == quotes


def test_names_of_marks(): assert marks("One [a-b] two [c/d.md] three [a-b] four []") == ["a-b", "c/d.md"]


def test_words_decide_where_meaning_is_blind():
    best = SentenceScorer(Blind())("What is the yearly fee of the gold card?", [LOAN, CARD])
    assert best[0][1].quote == "The yearly fee is 48 dollars." and [score for score, _ in best] == sorted((score for score, _ in best), reverse=True)
    assert all(stands(c, {"cards/gold-card.md": CARD, "loans/car.loan.md": LOAN}[c.document_id].document) for _, c in best) and len(best) == 5


def test_overlapping_passages_give_each_sentence_once():
    document = Document("long.md", " ".join(f"Sentence number {n} says {n}." for n in range(30)))
    passages = split_document(document, 30, overlap_sentences=1)
    found = SentenceScorer(Blind())("number 7", passages)
    assert len(found) == 30 == len({(c.start, c.end) for _, c in found}) and len(passages) > 3


def test_vectors_of_an_index_are_used_and_nothing_but_the_question_is_embedded():
    asked = []
    class Watched(Blind):
        def embed(self, texts): asked.extend(texts); return super().embed(texts)
    stored = Passage(CARD.text, CARD.document, 0, len(CARD.text), metadata={"row": 0, "dense": 0.5})
    give = lambda p: [(s, e, np.array([1.0, 0.0], "float32")) for s, e in sentences(p.text)]
    SentenceScorer(Watched(), give, lambda word: 0.1)("What is the fee?", [stored])
    assert asked == ["What is the fee?"]


def test_a_question_without_words_or_passages():
    scorer = SentenceScorer(Blind())
    assert scorer("what is it", []) == [] and len(scorer("??", [CARD])) == 3 and len(WEIGHTS) == len(SIGNS)


@pytest.mark.parametrize("question, kind", [("How many cards?", "number"), ("When does it end?", "date"), ("Who pays?", "name"), ("Is it nice?", ""), ("what's the fee", "number")])
def test_kinds(question, kind): assert question_kind(question) == kind


def test_kinds_in_sentences():
    assert has_kind("date", "It ends in March 2026.", "") and not has_kind("date", "It ends.", "") and has_kind("name", "It was built by Ada.", "Who built it?")
    assert not has_kind("", "anything 5", "")
