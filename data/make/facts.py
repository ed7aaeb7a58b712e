"""Reads facts.yaml into flat facts. Nothing but facts is shared between the question generators."""
from __future__ import annotations
import re
from pathlib import Path

import yaml

HERE = Path(__file__).parent
DATA = HERE.parent
ABSTAIN = "I am sorry, I do not know that. The Harbor Bank handbook does not say."
THANKS = "Thank you for asking."
NUMBERS = dict(zip(range(1, 21), "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
                                 "eighteen nineteen twenty".split()))


def counted(number: str, unit: str) -> list[str]:
    "A count with its unit, in figures and in words: 5 working days, five working days."
    words = [number] + ([NUMBERS[int(number)]] if number.isdigit() and int(number) in NUMBERS else [])
    return [f"{word} {unit}" for word in words] + [f"{number}-{unit.split()[-1].rstrip('s')}"]


def alternatives(value: str) -> list[str]:
    "Spellings of a value that count as the same: 15.6%, 15.6 %, 15.6 percent."
    found = [value]
    if match := re.fullmatch(r"([\d.]+)%", value): found += [f"{match[1]} %", f"{match[1]} percent", f"{match[1]} per cent"]
    elif match := re.fullmatch(r"\$([\d.,]+)", value):
        bare = match[1].replace(",", "")
        found += [f"{match[1]} dollars", f"${bare}", f"{bare} dollars"]
        if bare.endswith("000"): found.append(f"${bare[:-3]}k")
    elif match := re.fullmatch(r"(\d+) days of interest", value): found += [f"{match[1]} days' interest", f"{match[1]} days interest"]
    elif match := re.fullmatch(r"(\d+) (months?|years?|(?:working )?days?|hours|minutes|seconds)", value):
        found += counted(match[1], match[2])
        number, unit = int(match[1]), match[2]
        if unit == "months" and number % 12 == 0 and number >= 24: found += counted(str(number // 12), "years")
        if unit == "years": found.append(f"{number * 12} months")
        if unit.startswith("working"): found += counted(match[1], unit.replace("working", "business"))
    elif match := re.fullmatch(r"(\d+):(\d+) ([ap]m)", value):
        hour = int(match[1]) % 12 + (12 if match[3] == "pm" else 0)
        found += [value.replace(" ", ""), f"{match[1]}.{match[2]} {match[3]}", f"{hour}:{match[2]}"]
    elif value == "24 hours a day": found += ["around the clock", "24/7", "day and night"]
    elif " to " in value:
        core = re.sub(r" (on weekdays|every day)$", "", value)
        found += [core, core.replace(" am", "am").replace(" pm", "pm"), core.replace(" to ", " - ")]
    return list(dict.fromkeys(found))


def one_word_apart(left: str, right: str) -> bool:
    "Do two product names differ in one word (replaced, added or taken away) and share two words besides the bank's name?"
    a, b = left.split(), right.split()
    if len(set(a) & set(b) - {"Harbor"}) < 2: return False
    if len(a) == len(b): return sum(x != y for x, y in zip(a, b)) == 1
    short, long = sorted((a, b), key=len)
    return len(long) - len(short) == 1 and any(long[:i] + long[i + 1:] == short for i in range(len(long)))


def load_facts(path: Path = HERE / "facts.yaml") -> list[dict]:
    "All facts, in the order of the file."
    table = yaml.safe_load(path.read_text())
    facts = []
    for product in table["products"]:
        for attribute, given in product["facts"].items():
            value, *older = given if isinstance(given, list) else [given]
            kind = table["attributes"][attribute]
            facts.append({
                "id": f"{product['name'].lower().replace(' ', '-')}.{attribute}", "product": product["name"], "short": product["short"], "said": product["said"],
                "attribute": attribute, "attribute_name": kind["name"], "value": value, "alternatives": alternatives(value),
                "document": product["document"], "sentence": kind["sentence"].format(product=product["name"], value=value),
                "superseded": dict(zip(("value", "document", "since"), older)) or None,
            })
    twins = {(a["product"], a["attribute"]) for a in facts for b in facts
             if a["attribute"] == b["attribute"] and a["value"] != b["value"] and one_word_apart(a["product"], b["product"])}
    for fact in facts: fact["near_miss"] = (fact["product"], fact["attribute"]) in twins
    return facts


def kind_of(fact: dict) -> str:
    "The kind of a single-fact question: superseded beats near_miss beats fact."
    return "superseded" if fact["superseded"] else "near_miss" if fact["near_miss"] else "fact"


def reference(facts: list[dict]) -> dict:
    "The answer fields of a row about these facts, in the chosen style and in the two others."
    documents = list(dict.fromkeys(fact["document"] for fact in facts))
    if len(documents) == 1: body = " ".join(fact["sentence"] for fact in facts) + f" [{documents[0]}]"
    else: body = " ".join(f"{fact['sentence']} [{fact['document']}]" for fact in facts)
    return {"answer": f"{THANKS} {body}", "values": [fact["alternatives"] for fact in facts], "documents": documents,
            "plain": " ".join(fact["sentence"] for fact in facts), "terse": " and ".join(fact["value"] for fact in facts),
            "facts": [fact["id"] for fact in facts]}
