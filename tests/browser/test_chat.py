"""A person at the page: types a question, watches the answer grow, opens a source, rates it; nothing is loaded from elsewhere."""
from __future__ import annotations

import json

import pytest

from genai_factory.app.api import create_app
from genai_factory.app.service import Service
from genai_factory.core.settings import Settings, Workspace
from tests.browser.driver import ANSWER, browser_page, grow
from tests.integration.standin import StandIn, running, until


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    "One server with the stand-in, which a test may exchange."
    pytest.importorskip("playwright")
    workspace = Workspace(tmp_path_factory.mktemp("ws"), settings=Settings(alias_poll_s=0.5))
    service = Service(workspace, load=lambda *_: StandIn(pause=0.15))
    with running(create_app(workspace, service)) as url:
        until(lambda: service.assistant)
        yield url, service


@pytest.fixture(autouse=True, scope="module")
def chromium(tool): tool("chromium", "apt-get install chromium")


def test_a_person_asks_reads_checks_and_rates(page_of):
    url, service = page_of
    with browser_page(url) as page:
        assert page.locator("h1").inner_text() == "Harbor Bank assistant"
        page.locator("#status").filter(has_text="baseline answers").wait_for()
        texts = grow(page, "What is the <b>fee</b>?")
        told = [text for text in texts if text.startswith("The fee")]
        assert len(told) >= 2 and all(len(a) <= len(b) for a, b in zip(told, told[1:])), texts      # it grew
        assert any("Searching" in text for text in texts) and "trained model" in texts[-1]
        assert page.locator("[data-testid=user]").last.inner_text().strip() == "What is the <b>fee</b>?"   # shown, not obeyed
        source = page.locator("details.source").first
        assert not source.locator("mark").is_visible()
        source.locator("summary").click()
        assert source.locator("mark").inner_text() == "The fee is <b>25 euros</b>."
        assert "It is charged once." in source.inner_text() and page.locator(f"{ANSWER} b").count() == 0
        page.get_by_label("like", exact=False).last.click()
        log = service.workspace.logs / "interactions.jsonl"
        until(lambda: '"rating": 1' in log.read_text() or '"rating": -1' in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines[-1]["id"] == lines[0]["id"] and lines[0]["passages"]
        assert page.foreign == [] and page.complaints == []


def test_a_hostile_answer_stays_text(page_of, monkeypatch):
    url, service = page_of
    attack = "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> [x](javascript:alert(1)) **bold** $$x$$\n\n<h1>big</h1>"
    monkeypatch.setattr(service, "assistant", StandIn(pieces=(attack,)))
    with browser_page(url) as page:
        texts = grow(page, "Are you safe?")
        assert "onerror" in texts[-1] and "**bold** $$x$$" in texts[-1] and "<h1>big</h1>" in texts[-1]
        assert page.title() == "Harbor Bank assistant" and page.locator(f"{ANSWER} img, {ANSWER} script, {ANSWER} a, {ANSWER} h1").count() == 0
        assert page.foreign == [] and page.complaints == []


def test_an_error_is_said_in_the_chat_and_the_next_question_works(page_of, monkeypatch):
    url, service = page_of
    monkeypatch.setattr(service, "assistant", StandIn(fails=RuntimeError("secret")))
    with browser_page(url) as page:
        page.fill("#question textarea", "Break")
        page.keyboard.press("Enter")
        page.get_by_text("Something went wrong").wait_for()
        assert "secret" not in page.content()
        monkeypatch.setattr(service, "assistant", StandIn())
        assert "25 euros" in grow(page, "And now?")[-1]
