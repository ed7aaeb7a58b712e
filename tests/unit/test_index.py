"""An index holds exactly its documents, survives kills, damage and other embedders, and swaps under readers."""
import json
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genai_factory.core.base import BusyError, DamagedError, InputError, MissingError, UsageError
from genai_factory.core.settings import open_workspace
from genai_factory.rag import index as module
from genai_factory.rag.generations import current_generation, list_generations, only_writer
from genai_factory.rag.index import ingest, open_index, pin


class Hashed:
    "An embedder of words: quick, exact, and different for different texts."
    name, dimension, spec = "hashed:1", 32, None
    def __init__(self): self.asked = 0
    def embed(self, texts):
        self.asked += len(texts)
        rows = np.zeros((len(texts), 32), "float32")
        for row, text in zip(rows, texts):
            for word in text.lower().split(): row[sum(word.encode()) % 31] += 1
            row[31] = 0.1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


WORDS = "apple banana cherry damson elder fig grape hazel iris juniper".split()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "docs").mkdir()
    for word in WORDS[:4]: (tmp_path / f"docs/{word}.md").write_text(f"# {word.title()}\n\nThe {word} costs {len(word)} coins. It is ripe in summer.")
    return open_workspace(tmp_path)


def make(place, **options): return ingest(place.root / "docs", "shop", place, embedder=options.pop("embedder", Hashed()), progress=False, **options)
def opened(place, **options): return open_index("shop", place, embedder=Hashed(), **options)


def test_every_passage_is_findable_and_exact(place):
    report = make(place)
    assert (report.documents, report.generation, report.unchanged) == (4, 1, False) and {row["status"] for row in report.files} == {"read"}
    index = opened(place)
    for word in WORDS[:4]:
        best = index.retrieve(f"how much is the {word}", k=2)[0]
        assert best.document.id == f"{word}.md" and best.document.text[best.start:best.end] == best.text
        assert best.document.source.endswith(f"docs/{word}.md") and {"dense", "bm25"} <= set(best.metadata)
        spans = [(start, end) for start, end, vector in index.sentences(best) if vector.shape == (32,)]
        assert [best.document.text[s:e] for s, e in spans] == [f"The {word} costs {len(word)} coins.", "It is ripe in summer."]
    assert sorted(d.id for d in index.documents) == sorted(f"{word}.md" for word in WORDS[:4])
    assert len(index.retrieve("coins", k=10_000)) == len(index) == report.passages == 4


def test_unchanged_content_keeps_the_generation_and_embeds_nothing(place):
    make(place)
    again = Hashed()
    assert make(place, embedder=again).unchanged and again.asked == 0
    (place.root / "docs/apple.md").touch()
    assert make(place).generation == 1
    (place.root / "docs/apple.md").write_text("# Apple\n\nThe apple costs 6 coins.")
    report = make(place, embedder=again)
    assert report.generation == 2 and not report.unchanged and again.asked == 2      # one passage, one sentence
    assert make(place, max_tokens=99).generation == 3


def test_one_folder_under_another_name_has_the_same_fingerprint(place):
    first = make(place)
    shutil.copytree(place.root / "docs", place.root / "copy")
    assert ingest(place.root / "copy", "other", place, embedder=Hashed(), progress=False).fingerprint == first.fingerprint


def test_a_reader_keeps_its_generation(place):
    make(place)
    old = opened(place)
    (place.root / "docs/apple.md").write_text("# Apple\n\nThe apple is sold out.")
    make(place)
    assert "5 coins" in old.retrieve("apple", k=1)[0].text and "sold out" in opened(place).retrieve("apple", k=1)[0].text
    assert "5 coins" in opened(place, generation=1).retrieve("apple", k=1)[0].text


def test_swaps_under_queries_never_mix(place):
    make(place)
    wrong, stop, asked = [], threading.Event(), []
    def ask():
        while not stop.is_set():
            try:
                index = opened(place)
                apple = next(p for p in index.retrieve("apple damson", k=4) if p.document.id == "apple.md")
                want = "5 coins" if index.generation == 1 else f"round {index.generation - 2}."
                if want not in apple.text or apple.document.text[apple.start:apple.end] != apple.text: wrong.append((index.generation, apple.text))
                asked.append(index.generation)
            except Exception as error: wrong.append(error)
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers: asker.start()
    for n in range(4):
        (place.root / "docs/apple.md").write_text(f"# Apple\n\nThe apple of round {n}.")
        make(place)
    stop.set()
    for asker in askers: asker.join()
    assert not wrong and len(asked) >= 4 and current_generation(place.index("shop"))[0] == 5


def test_a_killed_ingestion_leaves_the_old_generation(place, monkeypatch):
    make(place)
    (place.root / "docs/fig.md").write_text("# Fig\n\nThe fig is new.")
    for step in ("embed_cached", "_write_truth", "_derive"):
        def die(*_, **__): raise KeyboardInterrupt
        with monkeypatch.context() as patch:
            patch.setattr(module, step, die)
            with pytest.raises(KeyboardInterrupt): make(place)
        assert opened(place).generation == 1 and len(opened(place).documents) == 4
    (place.index("shop") / "generations/.building").mkdir()      # what kill -9 leaves
    (place.index("shop") / "generations/.building/index.db").write_text("half")
    assert make(place).generation == 2 and len(opened(place).documents) == 5


def test_old_generations_go_and_pinned_ones_stay(place):
    make(place); pin("shop", 1, place)
    for n in range(7):
        (place.root / "docs/apple.md").write_text(f"# Apple\n\nRound {n}.")
        make(place)
    assert list_generations(place.index("shop")) == [1, 4, 5, 6, 7, 8]
    with pytest.raises(MissingError, match="no generation 3"): pin("shop", 3, place)


@pytest.mark.parametrize("name", ["dense.faiss", "moments.npy", "bm25/data.csc.index.npy", "bm25/vocab.index.json", "bm25"])
@pytest.mark.parametrize("harm", ["cut", "flip", "lose"])
def test_derived_files_are_rebuilt(place, name, harm):
    make(place)
    file = place.index("shop") / "generations/000001" / name
    if file.is_dir(): shutil.rmtree(file)
    elif harm == "lose": file.unlink()
    else:
        data = bytearray(file.read_bytes())
        if harm == "cut": data = data[:len(data) // 2]
        else: data[len(data) // 2] ^= 0x55
        file.write_bytes(bytes(data))
    assert opened(place).retrieve("price of the cherry", k=1)[0].document.id == "cherry.md"
    assert opened(place).retrieve("price of the cherry", k=1)[0].document.id == "cherry.md"


@pytest.mark.parametrize("name", ["index.db", "manifest.json", "../../CURRENT"])
@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.99])
def test_a_damaged_truth_is_refused_and_mended_by_ingesting(place, name, at):
    make(place)
    file = (place.index("shop") / "generations/000001" / name).resolve()
    data = bytearray(file.read_bytes())
    data[int(at * len(data))] ^= 0x11
    file.write_bytes(bytes(data))
    try: found = opened(place).retrieve("price of the cherry", k=1)[0].document.id
    except (DamagedError, MissingError): found = None
    assert found in (None, "cherry.md")
    make(place)
    assert opened(place).retrieve("price of the cherry", k=1)[0].document.id == "cherry.md"


def test_another_embedder_is_refused(place):
    make(place)
    class Else(Hashed): name = "else:2"
    with pytest.raises(UsageError, match="made with embedder hashed:1, not else:2"): open_index("shop", place, embedder=Else()).retrieve("fig")
    with pytest.raises(UsageError, match="give it to open_index"): open_index("shop", place).retrieve("fig")
    assert make(place, embedder=Else()).generation == 2


def test_a_newer_schema_is_refused(place):
    make(place)
    generation = place.index("shop") / "generations/000001"
    with sqlite3.connect(generation / "index.db") as database: database.execute("pragma user_version = 99")
    manifest = json.loads((generation / "manifest.json").read_text())
    from genai_factory.core.files import sha256_file
    manifest["files"]["index.db"] = sha256_file(generation / "index.db")
    (generation / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="schema 99"): opened(place)


def test_filters_apply_before_the_search(place):
    make(place)
    index = opened(place)
    assert {p.document.id for p in index.retrieve("apple", k=5, filters={"document_id": ["fig.md", "damson.md"]})} == {"damson.md"}
    assert index.retrieve("apple", filters={"title": "Nowhere"}) == []
    with pytest.raises(UsageError, match="Did you mean 'title'"): index.retrieve("apple", filters={"titel": "x"})


@pytest.mark.parametrize("query, k", [("", 5), ("   \n", 5), ("apple", 0), ("apple", -1)])
def test_wrong_questions(place, query, k):
    make(place)
    with pytest.raises(UsageError): opened(place).retrieve(query, k)


def test_odd_questions_do_not_break(place):
    make(place)
    index = opened(place)
    for query in ("the of and", "?!", "x" * 100_000, "\u0000", "苹果"): assert len(index.retrieve(query, k=3)) == 3


def test_what_cannot_be_ingested(place, tmp_path):
    with pytest.raises(MissingError, match="genai-factory ingest"): open_index("nothing", place)
    with pytest.raises(InputError, match="does not exist"): ingest(tmp_path / "nowhere", "shop", place, embedder=Hashed())
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads/a.md").write_text("# Only a heading")
    with pytest.raises(InputError, match="no text below"): ingest(tmp_path / "heads", "shop", place, embedder=Hashed())
    with only_writer(place.index("shop")), pytest.raises(BusyError): make(place)
    with pytest.raises(UsageError, match="no name for an index"): ingest(place.root / "docs", "..", place, embedder=Hashed())


def test_the_same_name_in_two_folders(place, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/apple.md").write_text("# Apple\n\nA second apple.")
    report = ingest([tmp_path / "docs", tmp_path / "more"], "both", place, embedder=Hashed(), progress=False)
    assert {"docs/apple.md", "more/apple.md", "banana.md"} <= {d.id for d in open_index("both", place, embedder=Hashed()).documents} and report.documents == 5
    with pytest.raises(InputError, match="Two documents have the id"): ingest([tmp_path / "docs", tmp_path / "docs"], "twice", place, embedder=Hashed())


class Mirror(RuleBasedStateMachine):
    "Whatever is added, edited, renamed, doubled or removed: the index holds what the folder holds."
    def __init__(self):
        super().__init__()
        import tempfile
        self.root = Path(tempfile.mkdtemp())
        self.place, self.model = open_workspace(self.root), {}
        (self.root / "docs").mkdir()

    names, texts = st.sampled_from(["a", "b", "c"]), st.sampled_from([f"The {word} is here. It stays." for word in WORDS[:4]])

    @rule(name=names, text=texts)
    def write(self, name, text): self.model[f"{name}.txt"] = text; (self.root / f"docs/{name}.txt").write_text(text)

    @rule(name=names)
    def remove(self, name): self.model.pop(f"{name}.txt", None); (self.root / f"docs/{name}.txt").unlink(missing_ok=True)

    @rule(old=names, new=names)
    def rename(self, old, new):
        if f"{old}.txt" in self.model:
            self.model[f"{new}.txt"] = self.model.pop(f"{old}.txt")
            (self.root / f"docs/{old}.txt").rename(self.root / f"docs/{new}.txt")

    @invariant()
    def same(self):
        if not self.model: return
        ingest(self.root / "docs", "m", self.place, embedder=Hashed(), progress=False)
        index = open_index("m", self.place, embedder=Hashed())
        assert {d.id: d.text for d in index.documents} == self.model
        found = index.retrieve("here", k=99)
        assert sorted(p.document.id for p in found) == sorted(self.model) and all(p.text == self.model[p.document.id] for p in found)

    def teardown(self): shutil.rmtree(self.root, ignore_errors=True)


Mirror.TestCase.settings = settings(max_examples=8, stateful_step_count=8, deadline=None)
TestMirror = Mirror.TestCase
