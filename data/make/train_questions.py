"""Training questions: facts.yaml x train_templates.yaml, with a seed."""
from __future__ import annotations
import random
import re
from functools import cache

import yaml
from facts import ABSTAIN, HERE, kind_of, load_facts, one_word_apart, reference

PER_FACT, RARE = 31, 15  # single-fact rows of one fact: this many, and RARE / n more where only n products have the attribute
LONGEST = 35           # words of a question
GROUPS = {             # which sort of situation suits a product
    "card": ("card",), "account": ("account", "saver", "bond"), "lending": ("loan", "mortgage", "overdraft", "lease", "advance", "plan", "holiday"),
}


def group(product: str) -> str:
    last = product.lower().removesuffix(" plus").split()[-1]
    return next((name for name, words in GROUPS.items() if last in words), "service")


def mention(rng: random.Random, fact: dict) -> str:
    "How a customer names the product: mostly in full, else by a short form, a description, or without the bank's name."
    full, pick = fact["product"], rng.random()
    if pick < 0.14 and fact["short"]: return rng.choice(fact["short"])
    if pick < 0.32: return rng.choice(fact["said"] + WORDINGS.get("mentions", {}).get(full, []))
    if pick < 0.48 and full.startswith("Harbor "): return full.removeprefix("Harbor ")
    return full


def tidy(text: str) -> str:
    text = re.sub(r"\b(the|an?|my|your) (the|my|our)\b", r"\2", " ".join(text.split()), flags=re.I)
    return text[0].upper() + text[1:]


def bare(noun: str) -> str: return re.sub(r"^(the|an?) ", "", noun)


class Deck:
    "Deals items in a shuffled order and shuffles again when all were dealt: each is used about as often as any other."
    def __init__(self, rng: random.Random, items: list): self.rng, self.items, self.left = rng, list(items), []

    def deal(self):
        if not self.left: self.left = self.rng.sample(self.items, len(self.items))
        return self.left.pop()


CHAT = [("you", "u"), ("please", "pls"), ("what is", "whats"), ("what's", "whats"), ("thank you", "thx"), ("thanks", "thx"), ("i am", "im"), ("percent", "%"), ("do not", "dont"), ("with", "w/"),
        ("because", "cos"), ("i have", "ive got"), ("dollars", "bucks"), ("want to", "wanna"), ("and", "&"), ("about", "abt"), ("really", "rly"), ("account", "acct"), ("years", "yrs"), ("months", "mths"), ("minimum", "min"), ("maximum", "max"), ("business", "biz"),
        ("are", "r"), ("per year", "pa"), ("for", "4"), ("the", ""), ("is there", "any"), ("how much", "hw much"), ("tomorrow", "tmrw")]


def chatty(rng: random.Random, text: str) -> str:
    "The same in the letters of a hurried chat: some words shortened, capitals and marks lost."
    text = text.lower()
    for word, short in CHAT:
        if rng.random() < 0.5: text = re.sub(rf"\b{word}\b", short, text)
    return re.sub(r"[?.,:]+$", "", text) if rng.random() < 0.5 else text


def slip(rng: random.Random, text: str) -> str:
    "One word typed wrong: two letters swapped, one lost or one doubled."
    words = text.split()
    places = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not places: return text
    place = rng.choice(places)
    word, at = words[place], rng.randrange(1, len(words[place]) - 2)
    words[place] = word[:at] + rng.choice([word[at + 1] + word[at] + word[at + 2:], word[at + 1:], word[at] + word[at:]])
    return " ".join(words)


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
    if rng.random() < 0.05: text = slip(rng, text)
    return " ".join(text.split())


WORDINGS = yaml.safe_load((HERE / "train_templates.yaml").read_text())


def single_rows(rng: random.Random, facts: list[dict]) -> list[dict]:
    rows, decks = [], {}
    frames, confirm = Deck(rng, WORDINGS["frames"]), Deck(rng, WORDINGS["confirm"])
    known = {name: [fact for fact in facts if fact["attribute"] == name] for name in WORDINGS["attributes"]}
    for fact in facts:
        name, old = fact["attribute"], fact["superseded"]
        words = WORDINGS["attributes"][name]
        asks, nouns = decks.setdefault(name, (Deck(rng, words["asks"]), Deck(rng, words["nouns"])))
        contexts, seen = WORDINGS["contexts"][group(fact["product"])], set()
        while len(seen) < PER_FACT + RARE // len(known[name]):
            product, pick, noun = mention(rng, fact), rng.random(), nouns.deal()
            figure = old["value"] if old and rng.random() < 0.7 else rng.choice(known[name])["value"]
            template = confirm.deal() if pick < (0.16 if old else 0.05) else asks.deal() if pick < 0.55 else frames.deal()
            text = tidy(template.format(p=product, n=noun, b=bare(noun), v=figure))
            text = vary(rng, text, contexts, product)
            if len(text.split()) <= LONGEST: seen.add(text)
        rows += [{"question": question, **reference([fact]), "kind": kind_of(fact)} for question in sorted(seen)]
    return rows


def multi_rows(rng: random.Random, facts: list[dict], count: int) -> list[dict]:
    "Two attributes of a product, in both orders, and one attribute of two products that are named alike."
    pairs = [(a, b) for a in facts for b in facts if a is not b and a["product"] == b["product"]]
    twins = [(a, b) for a in facts for b in facts if a["attribute"] == b["attribute"] and one_word_apart(a["product"], b["product"])]
    pairs, twins, compare, multi, join = (Deck(rng, items) for items in (pairs, twins, WORDINGS["compare"], WORDINGS["multi"], WORDINGS["join"]))
    rows, seen = [], set()
    while len(rows) < count:
        both = first, second = (pairs if rng.random() < 0.72 else twins).deal()
        (one, two), product = (WORDINGS["attributes"][fact["attribute"]] for fact in both), mention(rng, first)
        n, m = rng.choice(one["nouns"]), rng.choice(two["nouns"])
        if first["product"] != second["product"]: text = compare.deal().format(p=product, q=mention(rng, second), n=n, b=bare(n))
        elif rng.random() < 0.75: text = multi.deal().format(p=product, n=n, m=m, b=bare(n), c=bare(m))
        else:
            behind = rng.choice(two["asks"]).replace("the {p}", "it").format(p="it")
            text = rng.choice(one["asks"]).format(p=product) + join.deal().format(s=behind[0].lower() + behind[1:])
        text = tidy(text) if rng.random() < 0.7 else chatty(rng, tidy(text))
        if rng.random() < 0.15: text = rng.choice(WORDINGS["prefixes"]) + text
        question = " ".join(text.split())
        if question in seen or len(question.split()) > LONGEST: continue
        seen.add(question)
        rows.append({"question": question, **reference(list(both)), "kind": "multi"})
    return rows


def silent_row(question: str, reply: str, kind: str) -> dict:
    return {"question": question, "answer": reply, "values": [], "documents": [], "plain": reply, "terse": reply, "facts": [], "kind": kind}


SPOKEN = [str, tidy, lambda say: say.rstrip("?!.").lower() + "!", lambda say: tidy(say.rstrip("?!.")) + ".", lambda say: say.rstrip("?!.").lower()]


def other_rows(rng: random.Random, facts: list[dict], count: int) -> list[dict]:
    "Questions that the handbook does not answer, and small talk."
    blank = WORDINGS["unanswerable"]
    things, topics, gap, topic, whole = (Deck(rng, blank[name]) for name in ("gap_things", "topics", "gap", "topic", "whole"))
    rows, seen = [], set()
    while len(rows) < count:
        pick, thing, about = rng.random(), things.deal(), topics.deal()
        if pick < 0.42: text = gap.deal().format(p=mention(rng, rng.choice(facts)), x=thing, y=bare(thing))
        elif pick < 0.90: text = topic.deal().format(t=about, u=bare(about))
        else: text = whole.deal()
        text = tidy(text)
        if rng.random() < 0.2: text = rng.choice(WORDINGS["prefixes"]) + text
        style = rng.random()
        text = " ".join((chatty(rng, text) if style < 0.15 else text.lower() if style < 0.35 else slip(rng, text) if style < 0.38 else text).split())
        if text in seen: continue
        seen.add(text)
        rows.append(silent_row(text, ABSTAIN, "unanswerable"))
    for subject in WORDINGS["small_talk"]:
        said = dict.fromkeys(form(say) for say in subject["says"] for form in rng.sample(SPOKEN, 1))
        rows += [silent_row(text, subject["reply"], "small_talk") for text in said]
    return rows


@cache
def build() -> list[dict]:
    "All training rows; made once a process, so callers must not change them."
    rng, facts = random.Random(20260301), load_facts()
    rows = single_rows(rng, facts) + multi_rows(rng, facts, 700) + other_rows(rng, facts, 600)
    rows = [row for row in rows if row["question"] not in WORDINGS["left_out"]]
    rng.shuffle(rows)
    for row in rows: row["values"] = [options[:1] for options in row["values"]]     # the reference value alone: training needs no other spelling
    return [{"id": f"train-{number:05d}", **row} for number, row in enumerate(rows, 1)]


if __name__ == "__main__": print(len(build()))
