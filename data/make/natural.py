"""The natural test set: questions written by hand (natural_questions.tsv), answers and documents taken from the facts they name."""
from __future__ import annotations

from facts import ABSTAIN, HERE, kind_of, load_facts, reference

REPLIES = {
    "hello": "Hello! How can I help you today?",
    "thanks": "You are welcome. Is there anything else I can do?",
    "bye": "Goodbye, and thank you for talking to Harbor Bank.",
    "who": "I am the Harbor Bank assistant. I answer questions from the bank's handbook.",
    "how": "I am doing well, thank you. How can I help you?",
}


def build(name: str = "natural") -> list[dict]:
    "Rows of `name`_questions.tsv: fact ids (without the leading harbor-), or ? or the key of a reply; a tab; the question."
    facts = {fact["id"].removeprefix("harbor-"): fact for fact in load_facts()}
    rows = []
    for line in (HERE / f"{name}_questions.tsv").read_text().splitlines():
        keys, question = line.split("\t")
        if keys == "?": row = {"answer": ABSTAIN, "values": [], "documents": [], "facts": [], "kind": "unanswerable"}
        elif keys in REPLIES: row = {"answer": REPLIES[keys], "values": [], "documents": [], "facts": [], "kind": "small_talk"}
        else:
            named = [facts[key] for key in keys.split()]
            row = {**reference(named), "kind": kind_of(named[0]) if len(named) == 1 else "multi"}
        rows.append({"id": f"{name}-{len(rows) + 1:03d}", "question": question, **{key: row[key] for key in "answer values documents kind facts".split()}})
    return rows


if __name__ == "__main__": print(len(build()))
