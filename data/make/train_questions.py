"""Training questions: facts.yaml x train_templates.yaml, with a seed."""
from __future__ import annotations
import random
import re
from functools import cache

import yaml
from facts import ABSTAIN, HERE, kind_of, load_facts, one_word_apart, reference

PER_FACT = 31          # single-fact rows of one fact
GROUPS = {             # which sort of situation suits a product
    "card": ("card",), "account": ("account", "saver", "bond"), "lending": ("loan", "mortgage", "overdraft", "lease", "advance", "plan", "holiday"),
}


def group(product: str) -> str:
    return next((name for name, words in GROUPS.items() if product.lower().split()[-1] in words or product.lower().split()[-2] in words), "service")


def mention(rng: random.Random, fact: dict) -> str:
    "How a customer names the product: mostly in full, else by a short form, a description, or without the bank's name."
    full, pick = fact["product"], rng.random()
    if pick < 0.12 and fact["short"]: return rng.choice(fact["short"])
    if pick < 0.24: return rng.choice(fact["said"])
    if pick < 0.36 and full.startswith("Harbor "): return full.removeprefix("Harbor ")
    return full


def tidy(text: str) -> str:
    text = " ".join(text.split()).replace("the the ", "the ").replace("a the ", "the ")
    return text[0].upper() + text[1:]


CHAT = [("you", "u"), ("please", "pls"), ("what is", "whats"), ("what's", "whats"), ("thank you", "thx"), ("thanks", "thx"), ("i am", "im"), ("percent", "%"), ("do not", "dont"), ("with", "w/"),
        ("because", "cos"), ("i have", "ive got"), ("dollars", "bucks"), ("want to", "wanna"), ("and", "&"), ("about", "abt"), ("really", "rly"), ("account", "acct")]


def chatty(rng: random.Random, text: str) -> str:
    "The same in the letters of a hurried chat: some words shortened, capitals and marks lost."
    text = text.lower()
    for word, short in CHAT:
        if rng.random() < 0.5: text = re.sub(rf"\b{word}\b", short, text)
    return re.sub(r"[?.,:]+$", "", text) if rng.random() < 0.5 else text


def vary(rng: random.Random, text: str, contexts: list[str], product: str) -> str:
    "Add what customers add: a greeting, a situation, a closing word; or lose the capitals and the marks."
    pick = rng.random()
    if pick < 0.20:
        if rng.random() < 0.6: text = text.replace(f"the {product}", "it")
        text = rng.choice(contexts).format(p=product) + " " + text
    elif pick < 0.32:
        prefix = rng.choice(WORDINGS["prefixes"])
        text = prefix + (text if prefix.endswith(". ") or text.startswith("I ") else text[0].lower() + text[1:])
    if rng.random() < 0.12: text += rng.choice(WORDINGS["suffixes"])
    style = rng.random()
    if style < 0.15: text = chatty(rng, text)
    elif style < 0.33: text = text.lower()
    elif style < 0.40: text = text.replace("?", "").replace(",", "")
    return " ".join(text.split())


WORDINGS = yaml.safe_load((HERE / "train_templates.yaml").read_text())


def single_rows(rng: random.Random, facts: list[dict]) -> list[dict]:
    rows = []
    for fact in facts:
        words, seen = WORDINGS["attributes"][fact["attribute"]], set()
        contexts = WORDINGS["contexts"][group(fact["product"])]
        templates = list(words["asks"]) + [frame.replace("{n}", noun) for frame in WORDINGS["frames"] for noun in words["nouns"]]
        weights = [14] * len(words["asks"]) + [1] * (len(templates) - len(words["asks"]))
        while len(seen) < PER_FACT:
            product = mention(rng, fact)
            seen.add(vary(rng, tidy(rng.choices(templates, weights)[0].format(p=product)), contexts, product))
        rows += [{"question": question, **reference([fact]), "kind": kind_of(fact)} for question in sorted(seen)]
    return rows


def multi_rows(rng: random.Random, facts: list[dict], count: int) -> list[dict]:
    rows, seen = [], set()
    while len(rows) < count:
        first = rng.choice(facts)
        nouns = WORDINGS["attributes"][first["attribute"]]["nouns"]
        if rng.random() < 0.65:
            others = [f for f in facts if f["product"] == first["product"] and f is not first]
            second = rng.choice(others)
            text = rng.choice(WORDINGS["multi"]).format(p=mention(rng, first), n=rng.choice(nouns),
                                                              m=rng.choice(WORDINGS["attributes"][second["attribute"]]["nouns"]))
        else:
            others = [f for f in facts if f["attribute"] == first["attribute"] and one_word_apart(f["product"], first["product"])]
            if not others: continue
            second = rng.choice(others)
            text = rng.choice(WORDINGS["compare"]).format(p=mention(rng, first), q=mention(rng, second), n=rng.choice(nouns))
        question = tidy(text) if rng.random() < 0.75 else tidy(text).lower()
        if question in seen: continue
        seen.add(question)
        rows.append({"question": question, **reference([first, second]), "kind": "multi"})
    return rows


def silent_row(question: str, reply: str, kind: str) -> dict:
    return {"question": question, "answer": reply, "values": [], "documents": [], "plain": reply, "terse": reply, "facts": [], "kind": kind}


def other_rows(rng: random.Random, facts: list[dict], count: int) -> list[dict]:
    "Questions that the handbook does not answer, and small talk."
    blank, products = WORDINGS["unanswerable"], sorted({fact["product"] for fact in facts})
    rows, seen = [], set()
    while len(rows) < count:
        if rng.random() < 0.4: text = rng.choice(blank["gap"]).format(p=rng.choice(products), x=rng.choice(blank["gap_things"]))
        else: text = rng.choice(blank["topic"]).format(t=rng.choice(blank["topics"]))
        text = tidy(text)
        if rng.random() < 0.3: text = rng.choice(WORDINGS["prefixes"]) + text
        if rng.random() < 0.25: text = text.lower()
        if text in seen: continue
        seen.add(text)
        rows.append(silent_row(text, ABSTAIN, "unanswerable"))
    for topic in WORDINGS["small_talk"]:
        for say in topic["says"]:
            bare = say.rstrip("?!.")
            for text in dict.fromkeys((say, tidy(say), bare.lower() + "!", tidy(bare) + ".")): rows.append(silent_row(text, topic["reply"], "small_talk"))
    return rows


@cache
def build() -> list[dict]:
    "All training rows; made once a process, so callers must not change them."
    rng, facts = random.Random(20260301), load_facts()
    rows = single_rows(rng, facts) + multi_rows(rng, facts, 780) + other_rows(rng, facts, 620)
    rng.shuffle(rows)
    for row in rows: row["values"] = [options[:1] for options in row["values"]]     # the reference value alone: training needs no other spelling
    return [{"id": f"train-{number:05d}", **row} for number, row in enumerate(rows, 1)]


if __name__ == "__main__": print(len(build()))
