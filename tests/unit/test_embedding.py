"""Vectors: the same alone and in a batch, length one, and never wrong from a damaged cache."""
import sqlite3
import threading

import numpy as np
import pytest

from genai_factory.core.base import DamagedError, UnavailableError
from genai_factory.rag import embedding
from genai_factory.rag.embedding import TransformerEmbedder, embed_cached, make_embedder

TEXTS = ["The annual fee is 30 EUR.", "Whales are mammals that live in the sea and breathe air. They sing.", "Fee?", "", "word " * 600]


@pytest.fixture(scope="module")
def minilm(): return make_embedder()


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(minilm):
    together = minilm.embed(TEXTS)
    assert together.shape == (5, 384) and together.dtype == np.float32 and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(TEXTS, together): assert np.allclose(minilm.embed([text])[0], vector, atol=1e-5)
    assert minilm.embed([]).shape == (0, 384)


def test_equals_the_reference_computation(minilm):
    import torch
    tokenizer, network = minilm.parts
    with torch.no_grad(): hidden = network(**tokenizer(TEXTS[1], return_tensors="pt")).last_hidden_state[0].mean(0)
    assert np.allclose(minilm.embed([TEXTS[1]])[0], (hidden / hidden.norm()).numpy(), atol=1e-5)


def test_a_span_over_everything_is_near_the_whole_and_one_behind_the_cut_is_the_whole(minilm):
    long = "word " * 600
    whole, (first, second) = minilm.embed_spans([TEXTS[0], long], [[(0, 25)], [(2900, 2950)]])
    assert first[0] @ whole[0] > 0.9 and np.allclose(second[0], whole[1])


def test_one_model_a_process_also_from_threads(minilm):
    found = []
    threads = [threading.Thread(target=lambda: found.append(TransformerEmbedder(minilm.path).parts)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len({id(parts[1]) for parts in found}) == 1 and make_embedder() is minilm


def test_wrong_weights_and_wrong_names(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "MINILM_SHA256", "0" * 64)
    with pytest.raises(DamagedError, match="expected 000000000000"): make_embedder.__wrapped__("minilm")
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(UnavailableError, match="cannot be loaded"): make_embedder(str(tmp_path)).embed(["x"])


class Counting:
    name, dimension = "counting", 3
    def __init__(self): self.asked = []
    def embed(self, texts):
        self.asked += texts
        return np.array([[len(t), 1, 0] for t in texts], "float32").reshape(len(texts), 3)


def test_the_cache_asks_once_for_equal_texts_and_again_for_damaged_values(tmp_path):
    file, model = tmp_path / "vectors.db", Counting()
    texts, spans = ["ab cd", "ab cd", "x"], [[(0, 2), (3, 5)], [(0, 2), (3, 5)], []]
    done = []
    first, parts = embed_cached(model, texts, spans, file, done.append)
    assert sorted(model.asked) == ["ab", "ab cd", "cd", "x"] and [p.shape for p in parts] == [(2, 3), (2, 3), (0, 3)]
    asked = len(model.asked)
    again, _ = embed_cached(model, texts, spans, file)
    assert (again == first).all() and len(model.asked) == asked
    with sqlite3.connect(file) as database: database.execute("update vectors set value = cast(substr(value, 1, 6) || x'ff' || substr(value, 8) as blob)")
    assert (embed_cached(model, texts, spans, file)[0] == first).all() and len(model.asked) == 2 * asked
    embed_cached(model, ["ab cd"], [[(0, 5)]], file)
    assert len(model.asked) == 2 * asked + 2          # other spans are another value


@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 0.9])
def test_a_damaged_cache_file_is_started_afresh(tmp_path, at):
    file, model = tmp_path / "vectors.db", Counting()
    texts = [f"text {n} " * 40 for n in range(200)]
    first, _ = embed_cached(model, texts, [[]] * 200, file)
    data = file.read_bytes()
    file.write_bytes(data[:int(at * len(data))] + b"this is no database " * 60 + data[int(at * len(data)) + 1200:])
    for _ in range(2): assert (embed_cached(model, texts, [[]] * 200, file)[0] == first).all()
