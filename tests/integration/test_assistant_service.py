"""The real assistant behind the real server: the official client, the command line and the alias, with nothing stood in."""
from __future__ import annotations

import json
import shutil
import sys

import httpx
import openai
import pytest

from genai_factory import cli
from genai_factory.app.api import create_app
from genai_factory.app.service import Service, load_assistant
from genai_factory.core.registry import get_release, register_release, set_alias
from genai_factory.core.settings import Workspace
from genai_factory.rag.index import open_index
from tests.integration.standin import running, until

QUESTION = "What is the early repayment fee of the Harbor Personal Loan?"


@pytest.fixture(scope="module")
def bank(tmp_path_factory, small_bank, tracking_template):
    "A workspace of this module's own, so that it may release."
    root = tmp_path_factory.mktemp("served")
    shutil.copytree(small_bank.state, root / ".genai_factory")
    shutil.copy(tracking_template, root / ".genai_factory" / "mlflow.db")
    return Workspace(root, settings=small_bank.settings)


@pytest.fixture(scope="module")
def served(bank):
    service = Service(bank)
    with running(create_app(bank, service)) as url:
        until(lambda: service.assistant, 120)
        yield url, service, openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def ask(client, **options): return client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": QUESTION}], **options)


def test_the_baseline_answers_the_official_client_whole_and_streamed(served, bank):
    url, service, client = served
    assert httpx.get(url + "/readyz").json()["model"] == "baseline"
    whole = ask(client)
    chunks = list(ask(client, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == text and len(chunks) > 5 and whole.served_by == "extractive"
    cited = whole.citations[0]
    document = next(d for d in open_index("handbook", bank).documents if d.id == cited["document_id"])
    assert document.text[cited["start"]:cited["end"]] == cited["quote"] and document.stem == "personal-loan"
    assert chunks[-1].citations == whole.citations


def test_the_command_line_gives_the_same_answer(served, bank, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["genai-factory", "--workspace", str(bank.root), "ask", QUESTION, "--json"])
    with pytest.raises(SystemExit): cli.main()
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == ask(served[2]).choices[0].message.content and told["citations"][0]["quote"] and told["model"] == "baseline"
    monkeypatch.setattr(sys, "argv", ["genai-factory", "--workspace", str(bank.root), "ask", QUESTION])
    with pytest.raises(SystemExit): cli.main()
    out = capsys.readouterr().out
    assert told["citations"][0]["quote"] in " ".join(out.split()) and "No release yet" in out


def test_a_promoted_release_takes_over_and_a_damaged_one_does_not(served, bank):
    url, service, client = served
    index = open_index("handbook", bank)
    first = register_release({"index": {"name": index.name, "generation": index.generation}}, bank)
    set_alias("champion", first, "a test", bank, "promote")
    until(lambda: service.release == first)
    reply = ask(client)
    assert reply.model == "champion" and reply.release == first and [m.id for m in client.models.list()] == ["champion", "assistant"]
    second = register_release({"index": {"name": index.name, "generation": index.generation}}, bank)
    (get_release(second, bank).folder / "release.json").write_text("{}")
    set_alias("champion", second, "a test", bank, "promote")
    until(lambda: service.error)
    assert "release.json" in service.error and service.release == first and ask(client).release == first
    set_alias("champion", first, "back again", bank, "promote")


def test_what_was_answered_is_logged_with_what_was_found(served, bank):
    ask(served[2])
    line = json.loads((bank.logs / "interactions.jsonl").read_text().splitlines()[-1])
    assert line["question"] == QUESTION and line["answer"] and any(found.startswith("personal-loan.md[") for found in line["passages"])


def test_loading_says_what_is_missing(tmp_path, tracking_template):
    with pytest.raises(Exception, match="genai-factory ingest"): load_assistant(Workspace(tmp_path), None)
