"The rows that teach the model to restate a sentence of the handbook."
import json
import sys
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
sys.path.insert(0, str(DATA / "make"))
import facts as fact_table  # noqa: E402
import restate_questions  # noqa: E402

ROWS = [json.loads(line) for line in (DATA / "qa/restate.jsonl").read_text().splitlines()]
FACTS = {fact["id"]: fact for fact in fact_table.load_facts()}


def test_every_fact_is_restated_from_its_document_and_every_older_figure_from_the_archive():
    told = [(row["question"], FACTS[key]) for row in ROWS for key in row["facts"]]
    assert {fact["id"] for sentence, fact in told if fact["value"] in sentence} == set(FACTS)
    older = {key: fact["superseded"]["value"] for key, fact in FACTS.items() if fact["superseded"]}
    assert {fact["id"] for sentence, fact in told if older.get(fact["id"], "no figure") in sentence} == set(older)


def test_the_answer_is_what_holds_today_or_that_nothing_is_known():
    for row in ROWS:
        if not row["facts"]: assert row["answer"] == fact_table.ABSTAIN and row["values"] == []
        for key in row["facts"]: assert FACTS[key]["value"] in row["answer"] and f"[{FACTS[key]['document']}]" in row["answer"], row["id"]
    assert 0.2 < sum(not row["facts"] for row in ROWS) / len(ROWS) < 0.6


def test_a_longer_name_is_not_taken_for_the_shorter_one():
    products = ["Harbor Personal Loan", "Harbor Personal Loan Plus"]
    assert restate_questions.named("The Harbor Personal Loan Plus costs 1%.", products) == {"Harbor Personal Loan Plus"}
    assert restate_questions.named("The Harbor Personal Loan, not the Harbor Personal Loan Plus.", products) == set(products)
