"The evaluators of wording, values, citations and abstention, on the cases that a careless comparison gets wrong."
import pytest
from hypothesis import given, strategies as st

from genai_factory.core.base import Citation, Message, Reply
from genai_factory.evaluators import text as ev

FACT = {"kind": "fact", "answer": "Thank you for asking. The fee is 5 dollars. [card-fees]", "values": [["5 dollars", "$5"]], "documents": ["card-fees"]}


def test_exact_match_ignores_marks_case_and_blanks_but_nothing_else():
    assert ev.exact_match(" thank you for asking.\nThe FEE is 5 dollars.", FACT).value == 1
    assert ev.exact_match("Thank you for asking. The fee is 5 dollars! [card-fees]", FACT).value == 0
    assert ev.exact_match("Thank you for asking. The fee is 15 dollars. [card-fees]", FACT).value == 0


@pytest.mark.parametrize("text, value", [
    ("costs 1,200 dollars", "1200"), ("costs $1200.00", "1,200 dollars"), ("at 9.90 % a year", "9.9 percent"), ("at 9.9% a year", "9.9 per cent"),
    ("a thirty-day period", "30 days"), ("open at 8:30 a.m.", "8:30 am"), ("call 0800 555 0101.", "0800 555 0101"),
    ("within two business days", "2 business day"),
    ("write to help@harbor.example today", "help@harbor.example"), ("1,250,000 at most", "1250000"), ("it is 0.50 %", "0.5%"), ("costs 40.", "40"),
])
def test_one_value_in_several_spellings(text, value):
    assert ev.has_value(text, value)


@pytest.mark.parametrize("text, value", [
    ("15 dollars", "5 dollars"), ("5.5 %", "5 %"), ("1,500", "500"), ("1500", "15"), ("2.05", "2.5"), ("50", "5"), ("0.5 %", "5 %"), ("5 days", "5 %"),
    ("10:30", "10"), ("one of our branches", "1"), ("three months", "3 days"), ("", "5"), ("5", ""), ("100", "10"),
])
def test_a_value_is_not_found_inside_another(text, value):
    assert not ev.has_value(text, value)


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_numbers_match_exactly_when_equal(a, b):
    assert ev.has_value(f"It is {a:,} in all.", str(b)) == (a == b)
    assert ev.has_value(f"It is {a}.00 in all.", f"{b:,}") == (a == b)


def test_every_inner_list_must_be_met():
    both = {"values": [["5 dollars"], ["30 days", "a month"]]}
    assert ev.value_accuracy("5 dollars within a month", both).value == 1
    assert ev.value_accuracy("5 dollars within a week", both).value == 0
    assert ev.value_accuracy("Hello", {"values": []}).status == "invalid"


def test_the_first_citation_counts_whether_written_or_resolved():
    assert ev.citation("A. [card-fees] B. [other]", FACT).value == 1
    assert ev.citation("A. [other] B. [card-fees]", FACT).value == 0
    assert ev.citation("A. [card-fees, other]", FACT).value == 1
    resolved = Reply(Message("assistant", "The fee is 5 dollars."), citations=[Citation("cards/card-fees.html", "x", "Fees", 0, 3, "The")])
    assert ev.citation(resolved, FACT).value == 1 and ev.cited_names(resolved) == ["card-fees"]


@pytest.mark.parametrize("text, declines", [
    ("I am sorry, I do not know that. The Harbor Bank handbook does not say.", True), ("I don’t know.", True), ("Sorry, I could not find that.", True),
    ("The handbook does not cover this.", True), ("The fee is 5 dollars.", False), ("I do not know why, but the fee is 5 dollars. [card-fees]", False),
    ("Customers who do not know their PIN call us.", False), ("The bank does not charge a fee.", False), ("", False),
])
def test_what_counts_as_declining(text, declines):
    assert ev.is_abstention(text) == declines


@pytest.mark.parametrize("kind, text, right", [
    ("fact", "The fee is 5 dollars. [card-fees]", True), ("fact", "The fee is 5 dollars.", False), ("fact", "The fee is 6 dollars. [card-fees]", False),
    ("fact", "The fee is 5 dollars. [card-fees]" + " and more" * 30, False), ("fact", "I do not know that.", False),
    ("unanswerable", "I do not know that.", True),
    ("unanswerable", "It is 5 dollars. [card-fees]", False),
    ("small_talk", "Hello, how can I help you?", True), ("small_talk", "I do not know that.", False),
    ("small_talk", "The fee is 5 dollars. [card-fees]", False),
    ("small_talk", "", False),
])
def test_what_a_correct_answer_is_depends_on_the_question(kind, text, right):
    expected = FACT if kind == "fact" else {"kind": kind, "values": [], "documents": []}
    assert ev.answer_correct(text, expected).value == float(right)
