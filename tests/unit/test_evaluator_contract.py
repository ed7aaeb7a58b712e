"""Our own evaluators keep to the suite that we give to others."""
from genai_factory.core.base import Document, Passage
from genai_factory.evaluators.hallucination import support
from genai_factory.evaluators.text import answer_correct, citation, exact_match, value_accuracy
from genai_factory.testing.evaluators import EvaluatorEdges

RATE = {"answer": "Thank you for asking. The rate is 9.9 %. [loans]", "values": [["9.9 %"]], "documents": ["loans"], "kind": "fact"}
BOOK = Document("loans.md", "The rate of the loan is 9.9 % a year.")
CONTEXT = [Passage(BOOK.text, BOOK, 0, len(BOOK.text))]


class TestExactMatch(EvaluatorEdges):
    evaluator = staticmethod(exact_match)
    good = {"outputs": RATE["answer"], "expectations": RATE}
    bad = {"outputs": "I am sorry, I do not know that.", "expectations": RATE}


class TestValueAccuracy(TestExactMatch): evaluator = staticmethod(value_accuracy)
class TestCitation(TestExactMatch): evaluator = staticmethod(citation)
class TestAnswerCorrect(TestExactMatch): evaluator = staticmethod(answer_correct)


class TestSupport(EvaluatorEdges):
    evaluator = staticmethod(support)
    good = {"outputs": "The rate of the loan is 9.9 % a year.", "context": CONTEXT}
    bad = {"outputs": "The rate of the loan is 4 % a month.", "context": CONTEXT}
