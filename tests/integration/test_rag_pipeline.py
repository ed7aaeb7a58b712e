"The assistant over a real index and a scripted model: which answer is given, that streams and batches agree, and what a release pins."
import asyncio
import json

import pytest

from genai_factory.assistant.inference import Assistant
from genai_factory.core import aio
from genai_factory.core.base import ABSTAIN, MissingError, UnavailableError, UsageError
from genai_factory.core.files import write_manifest
from genai_factory.core.registry import register_release, set_alias
from genai_factory.core.settings import open_workspace
from genai_factory.evaluators.text import is_abstention
from genai_factory.llms.scripted import ScriptedLLM
from genai_factory.rag.index import ingest

PAGES = {
    "gold-card": "# Gold card\n\nThe yearly fee of the gold card is 48 dollars. A lost gold card is replaced for 9 dollars within three days.\n",
    "silver-card": "# Silver card\n\nThe yearly fee of the silver card is 12 dollars. The silver card gives no cashback.\n",
    "car-loan": "# Car loan\n\nThe car loan runs for five years at most. The interest rate of the car loan is 6.5 %.\n",
}
GOLD = "Thank you for asking. The yearly fee of the gold card is 48 dollars. [gold-card]"


class ClosedBook(ScriptedLLM):
    "A model that answers from memory and was taught to restate a sentence."
    closed_book = True


def script(answers: dict[str, str], otherwise: str = ABSTAIN, kind: type = ScriptedLLM) -> ScriptedLLM:
    "Answers chosen by a piece of what was asked."
    return kind(lambda messages: next((reply for piece, reply in answers.items() if piece in messages[-1].text), otherwise))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    place = open_workspace(tmp_path_factory.mktemp("workspace"))
    folder = place.root / "documents"
    folder.mkdir()
    for name, text in PAGES.items(): (folder / f"{name}.md").write_text(text)
    ingest(folder, "handbook", place, progress=False)
    return place


@pytest.fixture(scope="module")
def baseline(workspace): return Assistant.load(workspace)


def test_without_a_champion_the_baseline_answers_and_says_so(baseline):
    assert "extractive baseline" in baseline.describe() and "flow retrain" in baseline.describe()
    reply = baseline.ask("What is the yearly fee of the gold card?")
    assert reply.served_by == "extractive" and "48 dollars" in reply.text
    text = next(d.text for d in baseline.index.documents if d.id == "gold-card.md")
    assert reply.citations and all(text[c.start:c.end] == c.quote for c in reply.citations if c.document_id == "gold-card.md")


@pytest.mark.parametrize("draft, served_by", [
    (GOLD, "model"),
    ("The yearly fee of the gold card is 49 dollars. [gold-card]", "extractive"),        # invented
    ("The yearly fee of the gold card is 12 dollars. [silver-card]", "extractive"),      # another product's
    ("The yearly fee of the gold card is 48 dollars. [silver-card]", "extractive"),      # another document's mark
    ("The yearly fee of the gold card is 48 dollars. [no-such-page]", "extractive"),
    ("", "extractive"),
])
def test_a_draft_is_shown_only_with_support(baseline, draft, served_by):
    reply = Assistant(baseline.index, ScriptedLLM(lambda messages: draft)).ask("What is the yearly fee of the gold card?")
    assert reply.served_by == served_by and "48 dollars" in reply.text
    if served_by == "model": assert [c.quote for c in reply.citations] == ["The yearly fee of the gold card is 48 dollars."]


def test_a_draft_that_is_turned_down_is_never_streamed_as_the_answer(baseline):
    assistant = Assistant(baseline.index, ScriptedLLM(lambda messages: "The yearly fee of the gold card is 4900 dollars. [gold-card]"))
    events = list(aio.iterate(assistant.astream("What is the yearly fee of the gold card?")))
    assert any("4900" in event.text for event in events if event.kind == "draft")
    shown = "".join(event.text for event in events if event.kind == "answer")
    assert "4900" not in shown and shown == events[-1].reply.text and events[-1].kind == "final"
    assert "stage" in {event.kind for event in events} and events[-1].turn.check.reason.startswith("not supported")


def test_a_small_model_restates_what_the_search_found(baseline):
    model = script({"The yearly fee of the gold card is 48 dollars": GOLD}, kind=ClosedBook)
    turn = Assistant(baseline.index, model).ask_batch(["gold card yearly fee pls"])[0]
    assert is_abstention(turn.draft) and turn.reply.served_by == "model" and turn.reply.text == GOLD
    assert turn.reply.citations[0].document_id == "gold-card.md"
    wrong = script({"The yearly fee of the gold card is 48 dollars": GOLD.replace("48", "84")}, kind=ClosedBook)
    assert Assistant(baseline.index, wrong).ask("gold card yearly fee pls").served_by == "extractive"


def test_two_abstentions_are_one_and_one_is_not(baseline):
    asked = "gold card yearly fee pls"
    assert is_abstention(Assistant(baseline.index, script({}, kind=ClosedBook)).ask(asked))
    reads = Assistant(baseline.index, script({}))                        # a model that has read the passages may abstain alone
    assert reads.ask(asked).served_by == "model"


def test_a_greeting_is_answered_by_the_model(baseline):
    assert Assistant(baseline.index, script({}, "Hello! How can I help you?", ClosedBook)).ask("hi there").text.startswith("Hello!")


def test_stream_and_batch_give_the_same(baseline):
    model = script({"gold card?": GOLD, "loan": "The car loan runs for nine years at most. [car-loan]", "The car loan runs": "It runs for five years.",
                    "hi": "Hello! How can I help you?"}, kind=ClosedBook)
    assistant = Assistant(baseline.index, model)
    asked = ["What is the yearly fee of the gold card?", "How long does the car loan run?", "hi", "Who is the king of Spain?", "silver card fee"]
    for question, turn in zip(asked, assistant.ask_batch(asked)):
        reply = assistant.ask(question)
        assert (reply.text, reply.served_by, reply.citations) == (turn.reply.text, turn.reply.served_by, turn.reply.citations), question


def test_many_at_once_do_not_mix(baseline):
    assistant = Assistant(baseline.index, script({"gold": GOLD}))
    async def all_at_once(): return await asyncio.gather(*(assistant.aask(q) for q in ["yearly fee of the gold card?", "interest rate of the car loan?"] * 8))
    texts = [reply.text for reply in aio.run(all_at_once())]
    assert len(set(texts[::2])) == 1 and len(set(texts[1::2])) == 1 and texts[0] == GOLD


def test_a_failing_model_costs_its_draft_only(baseline):
    def fail(messages): raise UnavailableError("the model's server is away")
    assistant = Assistant(baseline.index, ScriptedLLM(fail))
    assert assistant.ask("What is the yearly fee of the gold card?").served_by == "extractive"
    assert assistant.ask_batch(["What is the yearly fee of the gold card?"])[0].reply.served_by == "extractive"


def test_an_empty_question_is_refused(baseline):
    with pytest.raises(UsageError, match="empty"): baseline.ask("  ")


def test_no_index_yet_names_the_command(tmp_path):
    with pytest.raises(MissingError, match="genai-factory ingest"): Assistant.load(open_workspace(tmp_path))


def test_a_release_pins_model_generation_and_configurations(workspace, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("none")
    write_manifest(model)
    configs = {"safety": {"min_support": 0.91}, "retriever": {"k": 2}}
    version = register_release({"index": {"name": "handbook", "generation": 1}, "configs": configs}, workspace, model)
    with pytest.raises(MissingError): Assistant.load(workspace, "champion")
    set_alias("champion", version, "for this test", workspace)
    document = workspace.root / "documents" / "gold-card.md"
    document.write_text(PAGES["gold-card"].replace("48", "50"))
    assert ingest(workspace.root / "documents", "handbook", workspace, progress=False).generation == 2
    champion = Assistant.load(workspace)
    assert champion.index.generation == 1 and champion.parts.rules.min_support == 0.91 and champion.parts.k == 2
    assert f"release {version}" in champion.describe() and json.loads((champion.release.folder / "release.json").read_text())["configs"] == configs
    assert Assistant.load(workspace, "baseline").index.generation == 2
    with pytest.raises(MissingError, match="99"): Assistant.load(workspace, 99)
