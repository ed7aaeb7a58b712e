"Support: each claim must stand in one passage, under the right document's name."
import pytest

from genai_factory.core.base import Document, Passage
from genai_factory.evaluators.hallucination import claims, find_support, support


def passage(title: str, text: str, heading: str = "") -> Passage:
    document = Document(f"cards/{title.lower().replace(' ', '-')}.md", text, title=title)
    return Passage(text, document, 0, len(text), metadata={"heading": heading} if heading else {})


GOLD = passage("Gold card", "The yearly fee is 48 dollars. A replacement card costs 9 dollars.")
SILVER = passage("Silver card", "The yearly fee is 12 dollars. A replacement card costs 6 dollars.")
GOLD_PLUS = passage("Gold plus card", "The yearly fee is 96 dollars.")


@pytest.mark.parametrize("answer, value", [
    ("Thank you for asking. The yearly fee of the gold card is 48 dollars. [gold-card]", 1),
    ("The yearly fee of the gold card is 12 dollars.", 0),                      # another product's figure
    ("The yearly fee of the gold plus card is 48 dollars.", 0),                 # the namesake's name
    ("The yearly fee of the gold card is 49 dollars.", 0),                      # an invented figure
    ("The yearly fee is 48 dollars and a replacement costs 6 dollars.", 0),     # two passages mixed in one sentence
    ("The yearly fee of the gold card is 9 dollars.", 0),                       # the figure of the next sentence
    ("The gold card's yearly fee is 48 dollars. The silver card's is 99 dollars.", 0.5),
    ("Astronauts eat dried yoghurt on Sundays.", 0),
    ("I am sorry, I do not know that. The handbook does not say.", 1),          # claims nothing
    ("Hello! How can I help?", 1), ("I am the assistant of this bank. I answer questions from the handbook.", 1),
])
def test_support_is_the_share_of_claims_that_one_passage_holds(answer, value):
    assert support(answer, [SILVER, GOLD, GOLD_PLUS]).value == value


def test_the_supporting_passage_is_named():
    found = find_support("A replacement of the silver card costs 6 dollars. A replacement of the gold card costs 9 dollars.", [GOLD, SILVER])
    assert [f.passage for f in found] == [1, 0]
    assert [p.text[f.start:f.end] for f, p in zip(found, (SILVER, GOLD))] == ["A replacement card costs 6 dollars.", "A replacement card costs 9 dollars."]


def test_a_heading_counts_as_part_of_the_passage():
    assert support("Overdraft interest is 11 %.", [passage("Current account", "It is 11 %.", heading="Overdraft interest")]).value == 1
    assert support("Overdraft interest is 11 %.", [passage("Current account", "It is 11 %.")]).value == 0


def test_nothing_retrieved_supports_nothing():
    assert support("The fee is 5 dollars.", []).value == 0 and support("Hello!", []).value == 1


def test_courtesy_is_not_a_claim():
    assert claims("Thank you for asking. The fee is 5 dollars. Please ask again.") == ["The fee is 5 dollars."]


def test_names_of_what_was_found_besides_count():
    claim = "The yearly fee of the gold card is 12 dollars."
    assert find_support(claim, [SILVER])[0].coverage > 0.7 and find_support(claim, [SILVER], [GOLD])[0].coverage == 0
