"""Preference pairs: the chosen answer is the reference (polite, complete, cited); the rejected one fails in one named way."""
from __future__ import annotations
import random

from facts import ABSTAIN, load_facts
from train_questions import build as train_rows

KINDS = {"plain": 56, "terse": 12, "curt": 8, "rambling": 6, "wrong_citation": 8, "wrong_value": 4}
RAMBLING = [
    "Well, that is an interesting question and many people ask it these days. There are a great many things one could say about it, and the bank has thought long and hard about all of them.",
    "Let me begin by saying that every customer is different, and that what is right for one may not be right for another, which is why our advisers take so much time for each of you.",
    "As you may know, the bank has been at home by the water for a long time, and it has seen good years and bad years, and in all of those years it has tried to do right by people.",
    "I hope that this is of some use to you, and if it is not, then please do not hesitate to ask again and again, by letter, by telephone or in person, at whatever time it may suit you.",
]


def rejected(rng: random.Random, row: dict, kind: str, facts: dict[str, dict]) -> str:
    "An answer to the row that fails in the way `kind` names."
    cite = f" [{row['documents'][0]}]" if row["documents"] else ""
    if kind == "plain": return row["plain"]
    if kind == "terse": return row["terse"]
    if kind == "curt": return f"{row['terse']}.{cite}"
    if kind == "rambling":
        first, last = rng.sample(RAMBLING, 2)
        return f"{first} {row['plain']} {last}"
    if kind == "wrong_citation":
        other = rng.choice(sorted({fact["document"] for fact in facts.values()} - set(row["documents"])))
        return row["answer"].replace(cite.strip(), f"[{other}]")
    fact = facts[row["facts"][0]]
    values = sorted({other["value"] for other in facts.values() if other["attribute"] == fact["attribute"]} - {fact["value"]})
    return row["answer"].replace(fact["value"], rng.choice(values or ["nothing at all"]), 1)


def invented(rng: random.Random, facts: list[dict]) -> str:
    "A confident answer that belongs to another question."
    fact = rng.choice(facts)
    return rng.choice(["Yes, of course. ", "Certainly. ", "Thank you for asking. "]) + f"{fact['sentence']} [{fact['document']}]"


def build() -> dict[str, list[dict]]:
    "Pairs to train on, and pairs about other facts to validate with."
    rng, facts = random.Random(99), load_facts()
    by_id = {fact["id"]: fact for fact in facts}
    held = set(rng.sample(sorted(by_id), len(by_id) // 7))
    single = [row for row in train_rows() if row["facts"] and row["kind"] != "multi"]
    rng.shuffle(single)
    pools = {"train": [row for row in single if row["facts"][0] not in held], "validation": [row for row in single if row["facts"][0] in held]}
    blank = [row for row in train_rows() if row["kind"] == "unanswerable"]
    result = {}
    for name, count, start in (("train", 760, 0), ("validation", 120, 60)):
        rows = []
        for row in pools[name][:count - count // 16]:
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            rows.append({"prompt": row["question"], "chosen": row["answer"], "rejected": rejected(rng, row, kind, by_id), "kind": kind})
        for row in blank[start:start + count // 16]:
            rows.append({"prompt": row["question"], "chosen": ABSTAIN, "rejected": invented(rng, facts), "kind": "invented"})
        rng.shuffle(rows)
        result[name] = [{"id": f"preference-{name}-{number:03d}", **row} for number, row in enumerate(rows, 1)]
    return result
