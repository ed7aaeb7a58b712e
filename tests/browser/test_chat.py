"""A person at the page: types a question, watches the answer grow, opens a source, rates it; nothing is loaded from elsewhere."""
from __future__ import annotations

import json

import pytest

from genai_factory.app.api import create_app
from genai_factory.app.service import Service
from tests.browser.driver import ANSWER, browser_page, grow
from tests.integration.standin import StandIn, running, until


@pytest.fixture(scope="module")
def page_of(small_bank):
    "One server with the real assistant, which a test may exchange for a stand-in."
    pytest.importorskip("playwright")
    service = Service(small_bank)
    with running(create_app(small_bank, service)) as url:
        until(lambda: service.assistant, 120)
        yield url, service


@pytest.fixture(autouse=True, scope="module")
def chromium(tool): tool("chromium", "apt-get install chromium")


def test_a_person_asks_reads_checks_and_rates(page_of):
    url, service = page_of
    with browser_page(url) as page:
        assert page.locator("h1").inner_text() == "Harbor Bank assistant"
        page.locator("#status").filter(has_text="baseline answers").wait_for()
        question = "What is the early repayment fee of the <b>Harbor Personal Loan</b>?"
        texts = grow(page, question)
        told = [text for text in texts if not text.endswith("…")]                                   # the stages' names end so
        assert len(told) > 3 and all(b.startswith(a) for a, b in zip(told, told[1:-1])), texts      # it grew
        assert any("Searching" in text for text in texts) and "the extractive reader" in texts[-1]
        assert page.locator("[data-testid=user]").last.inner_text().strip() == question             # shown, not obeyed
        source = page.locator("details.source").first
        assert not source.locator("mark").is_visible()
        source.locator("summary").click()
        quote = source.locator("mark").inner_text()
        assert "early repayment fee" in quote and len(source.locator("blockquote").inner_text()) > len(quote)   # among its neighbours
        assert "personal-loan.md" in source.inner_text() and page.locator(f"{ANSWER} b").count() == 0
        page.get_by_label("like", exact=False).last.click()
        log = service.workspace.logs / "interactions.jsonl"
        until(lambda: '"rating": 1' in log.read_text() or '"rating": -1' in log.read_text())
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        answered = [line for line in lines if line["kind"] == "answer"][-1]
        assert lines[-1]["id"] == answered["id"] and answered["question"] == question and answered["passages"]
        assert page.foreign == [] and page.complaints == []


def test_a_hostile_answer_stays_text(page_of, monkeypatch):
    url, service = page_of
    attack = "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> [x](javascript:alert(1)) **bold** $$x$$\n\n<h1>big</h1>"
    monkeypatch.setattr(service, "assistant", StandIn(pieces=(attack,)))
    with browser_page(url) as page:
        page.locator("button.example", has_text="gold coins").click()     # an example is asked by a click
        texts = grow(page)
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
