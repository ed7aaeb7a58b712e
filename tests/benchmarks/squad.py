"""Public articles that nobody here wrote, and 300 of their questions through the embedded default; prints in how many the cited sentence holds the answer."""

import json
import os
import tempfile
from pathlib import Path

from tests.integration.test_squad import index_of, load, measure, questions_of


def main() -> None:
    named = os.environ.get("GENAI_FACTORY_PUBLIC_DATA")
    if not named: raise SystemExit("GENAI_FACTORY_PUBLIC_DATA is not set: name the folder of the public data sets")
    articles = load(Path(named))
    with tempfile.TemporaryDirectory() as folder: first, three, silent = measure(index_of(articles, Path(folder)), questions_of(articles, 300))
    print(json.dumps({"value": round(first, 4), "three": round(three, 4), "silent": round(silent, 4), "n": 300, "articles": len(articles), "at_least": 0.70}))


if __name__ == "__main__": main()
