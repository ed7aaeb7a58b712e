"""Real input that nobody here wrote: public articles into an index, their questions through the embedded default."""
import json
import random

import pytest

from genai_factory.core.base import Message, Part
from genai_factory.core.settings import open_workspace
from genai_factory.llms.extractive import ExtractiveLLM
from genai_factory.rag.citations import index_scorer, stands
from genai_factory.rag.index import ingest, open_index

pytestmark = pytest.mark.public_data


def load(public_data):
    "Articles of paragraphs and their questions; the scorer's weights were fitted on the others (even places)."
    return json.loads((public_data / "squad_dev/dev_half_A.json").read_text())["data"]


def index_of(articles, folder, **options):
    "One row a paragraph."
    rows = [{"id": f"{a['title']}/{n}", "text": p["context"]} for a in articles for n, p in enumerate(a["paragraphs"])]
    (folder / "articles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = open_workspace(folder)
    report = ingest(folder / "articles.jsonl", "articles", workspace, progress=False, **options)
    assert report.documents == len(rows)
    return open_index("articles", workspace)


def questions_of(articles, count):
    found = [(q["question"], q["answers"]) for a in articles for p in a["paragraphs"] for q in p["qas"]]
    return random.Random(0).sample(found, count)


def ask(index, question, k=5):
    reader = ExtractiveLLM(index_scorer(index))
    return reader.chat([Message("user", [Part("text", question), *(Part("passage", p, "document", False) for p in index.retrieve(question, k))])])


def measure(index, questions):
    "Shares of questions answered in the first cited sentence, in the three cited, and not answered at all."
    texts = {document.id: document for document in index.documents}
    first = three = silent = 0
    for question, answers in questions:
        reply = ask(index, question)
        assert all(stands(c, texts[c.document_id]) for c in reply.citations) and len(reply.citations) <= 3 and len(reply.text.split()) <= 60
        holds = [any(answer.lower() in c.quote.lower() for answer in answers) for c in reply.citations]
        first, three, silent = first + any(holds[:1]), three + any(holds), silent + (not reply.citations)
    return first / len(questions), three / len(questions), silent / len(questions)


def test_a_few_articles(public_data, tmp_path):
    data = load(public_data)
    articles = sorted((data[n] for n in range(1, 24, 2)), key=lambda a: sum(len(p["context"]) for p in a["paragraphs"]))[:4]
    index = index_of(articles, tmp_path)
    first, three, silent = measure(index, questions_of(articles, 300))
    print(f"first {first:.3f} three {three:.3f} silent {silent:.3f}")
    assert first >= 0.70 and three >= 0.80 and silent <= 0.10
    others = [a for a in data if a not in articles]
    assert measure(index, questions_of(others, 100))[2] >= 0.70       # asked of the wrong articles, it says that it does not know


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_articles(public_data, tmp_path):
    data = load(public_data)
    first, three, silent = measure(index_of(data, tmp_path), questions_of(data, 300))
    print(f"first {first:.3f} three {three:.3f} silent {silent:.3f}")
    assert first >= 0.70 and three >= 0.80
