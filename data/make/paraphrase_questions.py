"""The paraphrase test set: facts.yaml x paraphrase_templates.yaml, one row a fact, with a seed."""
from __future__ import annotations
import random

import yaml
from facts import ABSTAIN, HERE, kind_of, load_facts, reference


def build(name: str = "paraphrase", multi_count: int = 16, share: float = 1.0, seed: int = 7) -> list[dict]:
    wordings, rng, facts = yaml.safe_load((HERE / f"{name}_templates.yaml").read_text()), random.Random(seed), load_facts()
    rows, used = [], {}
    for fact in facts if share == 1.0 else rng.sample(facts, round(share * len(facts))):
        options = wordings["attributes"][fact["attribute"]]
        offset = used.setdefault(fact["attribute"], rng.randrange(len(options)))
        used[fact["attribute"]] += 1
        question = options[offset % len(options)].format(p=fact["product"])
        if rng.random() < 0.15: question = question.lower()
        rows.append({"question": question, **reference([fact]), "kind": kind_of(fact)})
    table = {(fact["product"], fact["attribute_name"]): fact for fact in facts}
    pairs = [(table[product, first], table[product, second], text) for first, second, text in wordings["multi"]
             for product in dict.fromkeys(fact["product"] for fact in facts) if (product, first) in table and (product, second) in table]
    for first, second, text in rng.sample(pairs, multi_count):
        rows.append({"question": text.format(p=first["product"]), **reference([first, second]), "kind": "multi"})
    for question in wordings["unanswerable"]:
        rows.append({"question": question, "answer": ABSTAIN, "values": [], "documents": [], "facts": [], "kind": "unanswerable"})
    rng.shuffle(rows)
    fields = "id question answer values documents kind facts".split()
    return [{field: {"id": f"{name}-{number:03d}", **row}[field] for field in fields} for number, row in enumerate(rows, 1)]


if __name__ == "__main__": print(len(build()))
