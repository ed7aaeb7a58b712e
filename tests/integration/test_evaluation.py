"An evaluation from question sets to the verdict, over a real index and a model that answers from the gold with planted faults."
import json

import pytest

from genai_factory.assistant.evaluators import METRICS, assistant_eval, fit_thresholds, rag_eval, read_questions, summarise, table
from genai_factory.assistant.inference import Assistant
from genai_factory.core.base import ABSTAIN, Delta, InputError
from genai_factory.core.configs import ReleaseRules, SafetyConfig
from genai_factory.core.settings import open_workspace
from genai_factory.llms.scripted import ScriptedLLM
from genai_factory.rag.index import ingest
from genai_factory.train.release import decide

CARDS = {"amber": 11, "blue": 22, "copper": 33, "dune": 44, "elm": 55, "fern": 66, "grape": 77, "hazel": 88}


def question(set_name: str, name: str, words: str) -> dict:
    return {"id": f"{set_name}-{name}", "question": words.format(name=name), "kind": "fact", "documents": [f"{name}-card"], "values": [[f"{CARDS[name]} dollars"]],
            "answer": f"Thank you for asking. The yearly fee of the {name} card is {CARDS[name]} dollars. [{name}-card]"}


def silent(set_name: str, kind: str, words: str, answer: str) -> dict:
    return {"id": f"{set_name}-{kind}", "question": words, "kind": kind, "documents": [], "values": [], "answer": answer}


SETS = {name: [question(name, card, words) for card in CARDS] + [silent(name, "unanswerable", "Does the bank sell umbrellas?", ABSTAIN),
                                                                  silent(name, "small_talk", "Hello there!", "Hello! How can I help you?")]
        for name, words in (("paraphrase", "What is the yearly fee of the {name} card?"), ("natural", "{name} card, how much a year"))}
GOLD = {row["question"]: row for rows in SETS.values() for row in rows}


class Oracle(ScriptedLLM):
    "Gives the reference, but another card's fee where it is unsure; tells its confidence."
    def __init__(self, unsure: tuple[str, ...] = ()):
        super().__init__(model="oracle")
        self.unsure = unsure

    async def astream(self, messages, **options):
        asked = messages[-1].text
        doubt = next((name for name in self.unsure if name in asked), None)
        text = GOLD[asked]["answer"] if doubt is None else GOLD["What is the yearly fee of the amber card?"]["answer"]
        yield Delta(text, finish_reason="stop", confidence=-0.5 if doubt else -0.001)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    place = open_workspace(tmp_path_factory.mktemp("workspace"))
    folder = place.root / "documents"
    folder.mkdir()
    for name, fee in CARDS.items():
        text = f"# {name.title()} card\n\nMany people like this one. The yearly fee of the {name} card is {fee} dollars. It comes with a leaflet.\n"
        (folder / f"{name}-card.md").write_text(text)
    ingest(folder, "handbook", place, progress=False)
    return Assistant.load(place, "baseline").index


@pytest.fixture(scope="module")
def rows(index): return assistant_eval(Assistant(index, Oracle(unsure=("fern", "grape"))), SETS, timed=2)


def test_one_row_for_each_question_and_system(rows):
    assert len(rows) == 3 * 20 and {row["system"] for row in rows} == {"baseline", "model", "challenger"}
    assert len({(row["system"], row["set"], row["id"]) for row in rows}) == len(rows)
    json.dumps(rows)   # plain values


def test_scores_have_every_metric_with_interval_and_number(rows):
    scores = summarise(rows)
    for system, dataset in ((s, d) for s in ("baseline", "model", "challenger") for d in SETS):
        assert set(scores[system][dataset]) == set(METRICS)
        assert all(seen["low"] <= seen["value"] <= seen["high"] and seen["n"] > 0 for seen in scores[system][dataset].values())
    model, challenger = scores["model"]["natural"], scores["challenger"]["natural"]
    assert model["exact_match"]["value"] == pytest.approx(0.8) and model["value_accuracy"] == pytest.approx(model["value_accuracy"] | {"value": 0.75, "n": 8})
    assert model["own_share"]["value"] == 1 and scores["baseline"]["natural"]["own_share"]["value"] == 0
    assert model["latency_ms"]["n"] == 2 and model["abstention"] == model["abstention"] | {"value": 1, "n": 1}
    assert challenger["answer_correct"]["value"] > model["answer_correct"]["value"] and challenger["own_share"]["value"] == pytest.approx(0.8)
    assert "challenger" in table(scores).to_string()


def test_an_unsure_and_wrong_draft_gives_way_to_the_quote(rows):
    told = {row["id"]: row for row in rows if row["system"] == "challenger"}
    assert told["natural-fern"]["served_by"] == "extractive" and told["natural-fern"]["answer_correct"] == 1
    assert told["natural-elm"]["served_by"] == "model"


def test_a_champion_answers_the_same_questions(index):
    champion = Assistant(index, Oracle(unsure=tuple(CARDS)))
    rows = assistant_eval(Assistant(index, Oracle()), {"natural": SETS["natural"]}, champion, timed=0)
    assert sum(row["system"] == "champion" for row in rows) == 10 and all(row["latency_ms"] is None for row in rows)
    assert summarise(rows)["champion"]["natural"]["own_share"]["value"] < 1


def test_from_rows_to_a_verdict(rows):
    rules = ReleaseRules(floors={"model.paraphrase.exact_match": 0.5, "challenger.natural.own_share": 0.3})
    few = decide(rows, rules)
    assert few.verdict == "need_more_data" and few.against == "baseline"
    many = [{**row, "id": f"{row['id']}-{n}"} for row in rows for n in range(40)]
    for row in many: row["answer_correct"] *= row["system"] != "baseline" or row["set"] != "paraphrase" or "amber" not in row["id"]
    assert decide(many, rules).verdict == "promote"


def test_thresholds_are_fitted_so_that_doubt_is_heard(index):
    rules, tried = fit_thresholds(SETS["natural"], Assistant(index, Oracle(unsure=("fern", "grape"))))
    assert -0.5 < rules.min_confidence <= -0.001
    best = max(t["answer_correct"] for t in tried)
    assert next(t for t in tried if (t["min_support"], t["min_confidence"]) == (rules.min_support, rules.min_confidence))["answer_correct"] == best
    blind = SafetyConfig(min_support=0.5, min_confidence=-0.5)
    assistant = Assistant(index, Oracle(unsure=("fern", "grape")))
    deaf = Assistant(index, assistant.model, assistant.configs | {"safety": blind})
    right = [row["answer_correct"] for row in assistant_eval(deaf, {"natural": SETS["natural"]}, timed=0) if row["system"] == "challenger"]
    assert sum(right) / len(right) < best   # the planted faults are found because of the threshold


def test_retrieval_is_told_apart_from_the_answer(index):
    turns = Assistant(index).ask_batch([row["question"] for row in SETS["paraphrase"]])
    seen = rag_eval(SETS["paraphrase"], turns)
    assert seen["recall@1"]["n"] == 8 and seen["recall@1"]["value"] <= seen["recall@k"]["value"] and seen["recall@k"]["value"] > 0.8


@pytest.mark.parametrize("line, said", [("{not json", "row 2 is not JSON"), ('{"id": "x"}', "row 2 lacks question, answer, values"), ("[1]", "row 2 lacks id")])
def test_a_broken_row_is_named(tmp_path, line, said):
    file = tmp_path / "natural.jsonl"
    file.write_text(json.dumps(SETS["natural"][0]) + "\n" + line + "\n")
    with pytest.raises(InputError, match=said): read_questions(file)


def test_a_set_that_is_missing_or_empty_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no question set"): read_questions(tmp_path / "natural.jsonl")
    (tmp_path / "natural.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no questions"): read_questions(tmp_path / "natural.jsonl")
    (tmp_path / "natural.jsonl").write_text("\n".join(json.dumps(row) for row in SETS["natural"]))
    assert read_questions(tmp_path / "natural.jsonl", limit=4) == read_questions(tmp_path / "natural.jsonl", limit=4)
    assert len(read_questions(tmp_path / "natural.jsonl", limit=4)) == 4 and len(read_questions(tmp_path / "natural.jsonl", limit=99)) == 10
