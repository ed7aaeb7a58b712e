"""Fusion by hand, words by rule, and the two searches agreeing with brute force."""
from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from genai_factory.core.base import Document, Passage, Retriever, UsageError
from genai_factory.evaluators.retrieval import relevant_rank, retrieval_scores
from genai_factory.rag.retriever import HybridRetriever, build_lexical, document_frequency, moments, stem, terms

WORDS = "fee rate loan card bank branch saver bond term limit".split()


@pytest.fixture(scope="module")
def store():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(200)]
    vectors = rng.normal(size=(200, 16)).astype("float32")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    dense = faiss.IndexFlatIP(16); dense.add(vectors)
    passages = [Passage(t, Document(f"{n}.md", t), 0, len(t)) for n, t in enumerate(texts)]
    return SimpleNamespace(vectors=vectors, dense=dense, lexical=build_lexical(texts), moments=moments(vectors), passage=passages.__getitem__, texts=texts,
                           embedder=SimpleNamespace(embed=lambda t: vectors[7:8] + 0.1), allowed=lambda filters: np.array(filters["rows"]))


def brute(store, query, weight):
    "The definition: z-scores over all passages, weighted."
    dense, words = store.vectors @ store.embedder.embed([query])[0], store.lexical.get_scores(terms(query))
    z = lambda s: (s - s.mean()) / s.std()
    return weight * z(dense) + (1 - weight) * z(words)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.6, 1.0])
def test_equals_the_definition(store, weight):
    query, want = "fee of the loan", brute(store, "fee of the loan", weight)
    found = HybridRetriever(store, weight, candidates=200).retrieve(query, k=200)
    order = sorted(range(200), key=lambda row: (-round(want[row], 4), row))
    assert np.allclose([p.score for p in found], np.sort(want)[::-1], atol=2e-3)
    assert [p.document.id for p in found][:1] == [f"{order[0]}.md"]


def test_few_candidates_lose_little(store):
    full = HybridRetriever(store, 0.6, candidates=200).retrieve("bond limit", k=5)
    few = HybridRetriever(store, 0.6, candidates=40).retrieve("bond limit", k=5)
    assert len({p.document.id for p in full} & {p.document.id for p in few}) >= 4 and few[0].document.id == full[0].document.id


def test_filters_see_everything_that_they_allow(store):
    rows = [3, 77, 150]
    found = HybridRetriever(store, candidates=1).retrieve("fee", k=10, filters={"rows": rows})
    want = brute(store, "fee", 0.6)
    assert [p.document.id for p in found] == [f"{row}.md" for row in sorted(rows, key=lambda row: -want[row])]
    assert HybridRetriever(store).retrieve("fee", filters={"rows": []}) == []


def test_it_is_a_retriever_and_checks_what_it_is_asked(store):
    assert isinstance(HybridRetriever(store), Retriever)
    for query, k in (("", 1), (" ", 1), ("fee", 0)):
        with pytest.raises(UsageError): HybridRetriever(store).retrieve(query, k)


@pytest.mark.parametrize("words", ["fee fees", "charge charged charges charging", "policy policies", "stop stopped stopping", "monthly month", "class classes"])
def test_endings(words): assert len({stem(word) for word in words.split()}) == 1, [stem(w) for w in words.split()]


@pytest.mark.parametrize("words", ["bus bu", "gas ga", "being be", "thing th", "rate rat", "2024 202"])
def test_endings_that_are_none(words): assert len({stem(word) for word in words.split()}) == 2


def test_document_frequency(store):
    assert document_frequency(store.lexical, "bond") == sum("bond" in text for text in store.texts) and document_frequency(store.lexical, "zebra") == 0


def test_scores_over_questions():
    scores = retrieval_scores([1, 3, None, 2], ks=(1, 3))
    assert (scores["recall@1"].value, scores["recall@3"].value) == (0.25, 0.75) and scores["mrr"].value == pytest.approx((1 + 1 / 3 + 1 / 2) / 4)
    document = Document("x/a.b.md", "t")
    assert relevant_rank([Passage("t", document, 0, 1)], ["a.b"]) == 1 and relevant_rank([], ["a"]) is None
