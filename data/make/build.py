"""Rebuilds everything under data/ that is made and not written: python data/make/build.py [--check]

With --check nothing is written: the files are built in memory and compared with those that stand; differences end with exit 1.
"""
from __future__ import annotations
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent
sys.path.insert(0, str(HERE))


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows).encode()


def validation() -> list[dict]:
    "Rows of the third set of templates, and some written by hand."
    import natural
    import paraphrase_questions
    rows = paraphrase_questions.build("validation", multi_count=8, share=0.7, seed=11) + natural.build("validation")
    return [{**row, "id": f"validation-{number:03d}"} for number, row in enumerate(rows, 1)]


def files() -> dict[str, bytes]:
    "Every made file, by its path below data/."
    import bank
    import handbook
    import natural
    import paraphrase_questions
    import preferences
    import queries
    import restate_questions
    import train_questions
    pairs = preferences.build()
    return {**handbook.build(), "qa/train.jsonl": jsonl(train_questions.build()), "qa/restate.jsonl": jsonl(restate_questions.build()),
            "qa/paraphrase.jsonl": jsonl(paraphrase_questions.build()),
            "qa/natural.jsonl": jsonl(natural.build()),
            "qa/validation.jsonl": jsonl(validation()),
            "preferences/train.jsonl": jsonl(pairs["train"]), "preferences/validation.jsonl": jsonl(pairs["validation"]),
            "queries/customer_queries.jsonl": jsonl(queries.build()), "bank/bank.sql": bank.build()}


def same(name: str, content: bytes) -> bool:
    "Does the file stand as made? PDF and DOCX may differ in compression between machines: their text is compared."
    path = DATA / name
    if not path.is_file(): return False
    if path.read_bytes() == content: return True
    import handbook
    return path.suffix in (".pdf", ".docx") and handbook.text_of(path) == handbook.text_of(path, content)


def main(arguments: list[str]) -> int:
    stale = {name: content for name, content in files().items() if not same(name, content)}
    if arguments == ["--check"]:
        for name in stale: print(f"data/{name} differs from what data/make/build.py makes: run python data/make/build.py")
        return 1 if stale else 0
    for name, content in stale.items():
        (DATA / name).parent.mkdir(parents=True, exist_ok=True)
        (DATA / name).write_bytes(content)
        print(f"data/{name}: {len(content)} bytes")
    return 0


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
