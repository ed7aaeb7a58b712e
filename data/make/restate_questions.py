"""Training rows that put a sentence of the handbook to the model and ask it to say the same in the bank's style.

The assistant answers a question whose wording its model does not know by handing the model the sentence that a search found. A
sentence that states a fact is answered with that fact, one of the archive with the figure that holds today, and one that states
no fact with the abstention.
"""
from __future__ import annotations
import random
import re

from facts import ABSTAIN, load_facts, reference
from handbook import documents

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"(])|\n\s*\n|\n(?=- )")


def sentences(text: str) -> list[str]:
    "The sentences of a document, each on one line, without the marks of lists."
    found = (" ".join(re.sub(r"^(?:[-*]|\d\.)\s+", "", part.strip()).split()) for part in SENTENCE.split(text))
    return [sentence for sentence in found if len(sentence.split()) > 3]


def named(sentence: str, products: list[str]) -> set[str]:
    "The products that a sentence names; of two that begin alike, the longer one."
    found = {product for product in products if re.search(rf"\b{re.escape(product)}\b", sentence)}
    rest = sentence
    for product in sorted(found, key=len, reverse=True):
        if product not in rest: found.discard(product)
        rest = rest.replace(product, "")
    return found


def stated(sentence: str, stem: str, facts: list[dict], products: list[str]) -> list[dict]:
    "The facts that a sentence of a document states, today's figures or the older ones of the archive."
    here, holds = named(sentence, products), []
    for fact in facts:
        old = fact["superseded"]
        value = fact["value"] if stem == fact["document"] else old["value"] if old and stem == old["document"] else None
        if value and fact["product"] in here and re.search(rf"(?<![\d.,]){re.escape(value)}(?![\d%])", sentence): holds.append((sentence.index(value), fact))
    return [fact for _, fact in sorted(holds, key=lambda pair: pair[0])]


def wordings(sentence: str, holds: list[dict]) -> list[str]:
    "The sentence, the same in small letters, and the part of it that ends behind the last figure where that leaves something out."
    values = [value for fact in holds for value in (fact["value"], (fact["superseded"] or {}).get("value")) if value and value in sentence]
    short = sentence[:max(sentence.index(value) + len(value) for value in values)] + "."
    named_there = all(fact["product"] in short for fact in holds)
    return list(dict.fromkeys([sentence, sentence.lower(), short if named_there else sentence]))


def row(question: str, told: dict) -> dict:
    "A row in the chosen style alone: there is one way to restate a sentence."
    return {"question": question, **{name: told[name] for name in ("answer", "values", "documents", "facts")}, "kind": "restate"}


def build(silent: int = 300, seed: int = 7) -> list[dict]:
    "One row for each sentence that states one or two facts, and `silent` rows of sentences that state none."
    facts, rows, rest = load_facts(), [], []
    products = sorted({fact["product"] for fact in facts})
    for stem, text in documents().items():
        for sentence in sentences(text):
            holds = stated(sentence, stem, facts, products)
            if 1 <= len(holds) <= 2: rows += [row(wording, reference(holds)) for wording in wordings(sentence, holds)]
            elif not holds: rest.append(sentence)
    for sentence in random.Random(seed).sample(sorted(set(rest)), min(silent, len(set(rest)))):
        rows.append(row(sentence, {"answer": ABSTAIN, "values": [], "documents": [], "facts": []}))
    return [{"id": f"restate-{number:04d}", **row} for number, row in enumerate(rows, 1)]


if __name__ == "__main__": print(len(build()))
