"""Figures in README.md and data/README.md are read from tests/results: `python tests/figures.py` writes them, `--check` compares.

A figure stands between two comments, `<!--= FILE:path.in.the.json form -->…<!--=-->`, where `form` is a Python format (`.2f`, `.0%`) or `score`
(value with its interval and n) and may be left out.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "data/README.md")
FIGURE = re.compile(r"(<!--= ([\w-]+):([\w.-]+)(?: (\S+))? -->)(.*?)(<!--=-->)", re.DOTALL)


def look_up(file: str, path: str):
    "The value at `path` in tests/results/FILE.json"
    value = json.loads((ROOT / f"tests/results/{file}.json").read_text())
    for part in path.split("."): value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def show(value, form: str | None) -> str:
    "A figure as text"
    if form == "score": return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f}, n = {value['n']})"
    return format(value, form) if form else str(value)


def filled(text: str) -> str:
    "The page with every figure as the results have it"
    return FIGURE.sub(lambda m: m[1] + show(look_up(m[2], m[3]), m[4]) + m[6], text)


def main() -> int:
    stale = [page for page in PAGES if (text := (ROOT / page).read_text()) != filled(text)]
    if "--check" not in sys.argv:
        for page in stale: (ROOT / page).write_text(filled((ROOT / page).read_text()))
    for page in stale: print(f"{page}: figures differ from tests/results; `python tests/figures.py` writes them" if "--check" in sys.argv else f"{page} written")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__": sys.exit(main())
