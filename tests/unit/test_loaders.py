"""Files in, documents out: every kind is read, every broken file is reported, offsets always fit."""
import json
import os
from pathlib import Path

import docx
import pytest
from fpdf import FPDF

from genai_factory.core.base import InputError
from genai_factory.rag.loaders import load_documents
from genai_factory.rag.parsers import assemble, html_blocks, markdown_blocks


def pdf(path: Path, pages: list[list[tuple[str, int]]], password: str | None = None) -> Path:
    "A PDF of lines with a type size each."
    file = FPDF()
    for lines in pages:
        file.add_page()
        for text, size in lines:
            file.set_font("Helvetica", size=size)
            file.multi_cell(0, 8, text, new_x="LMARGIN", new_y="NEXT")
    if password: file.set_encryption(owner_password="owner", user_password=password)
    file.output(str(path))
    return path


def word(path: Path) -> Path:
    file = docx.Document()
    file.add_heading("Business loan", 1)
    file.add_paragraph("The rate is 7.2 %.")
    file.add_heading("Terms", 2)
    file.add_paragraph("No security is asked.", style="List Bullet")
    table = file.add_table(rows=2, cols=3)
    for row, cells in zip(table.rows, (["Term", "fee", "rate"], ["5 years", "30 EUR", "7.2 %"])):
        for cell, text in zip(row.cells, cells): cell.text = text
    file.save(str(path))
    return path


@pytest.fixture
def folder(tmp_path):
    "One good file of each kind, and the usual trouble."
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/card.md").write_text("---\nowner: cards\n---\n# Card\n\nThe *fee* is [30 EUR](x.html).\n\n## Limits\n\n* 500 a day\n* 2,000 a week\n\n```\ncode  stays\n```\n")
    (tmp_path / "page.html").write_text("<html><head><title>Saver</title><style>p{}</style></head><body><nav>Home</nav><main><h1>Saver</h1>"
                                        "<p>Rate: <b>2 %</b><br>a year.</p><script>alert('x')</script><table><tr><th>Tier<th>rate<tr><td>Gold<td>3 %</table></main></body></html>")
    pdf(tmp_path / "bond.pdf", [[("Bond", 20), ("The bond runs for five years and pays interest each year, on the first of May.", 11)], [("It cannot be sold early.", 11)]])
    pdf(tmp_path / "secret.pdf", [[("Nobody reads this.", 11)]], password="hunter2")
    pdf(tmp_path / "scan.pdf", [[]])
    word(tmp_path / "loan.docx")
    (tmp_path / "notes.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [
        {"cell_type": "markdown", "source": "# Orders"}, {"cell_type": "markdown", "source": ["A standing order ", "is free."]},
        {"cell_type": "code", "source": "fee = 0", "outputs": [{"output_type": "stream", "text": "0\n"}, {"output_type": "stream", "text": "x" * 9000}]}]}))
    (tmp_path / "plain.txt").write_bytes("Caf\xe9 hours:\r\nnine to five.".encode("cp1252"))
    (tmp_path / "rows.jsonl").write_text('{"id": "r1", "text": " kept  as it is ", "title": "Row", "metadata": {"lang": "en"}}\n\n{"id": 2, "text": "Two."}\n')
    (tmp_path / "broken.docx").write_bytes(b"PK\x03\x04 not really")
    (tmp_path / "cut.pdf").write_bytes((tmp_path / "bond.pdf").read_bytes()[:300])
    (tmp_path / "empty.md").write_text("\n \n")
    (tmp_path / "noise.txt").write_bytes(bytes(range(256)))
    (tmp_path / "bad.ipynb").write_text("[1, 2]")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("# no")
    return tmp_path


def test_every_file_has_a_fate(folder):
    documents, report = load_documents(folder)
    assert [row["file"] for row in report] == sorted(row["file"] for row in report)
    fate = {row["file"]: (row["status"], row["reason"]) for row in report}
    assert {name for name, (status, _) in fate.items() if status == "read"} == {
        "deep/er/card.md", "page.html", "bond.pdf", "loan.docx", "notes.ipynb", "plain.txt", "rows.jsonl"}
    for name, words in {"secret.pdf": "password", "scan.pdf": "scan", "broken.docx": "cannot be read", "cut.pdf": "", "empty.md": "empty",
                        "noise.txt": "binary", "bad.ipynb": "notebook", "picture.png": "no reader for .png"}.items():
        assert fate[name][0] == "skipped" and words in fate[name][1], (name, fate[name])
    assert sum(row["documents"] for row in report) == len(documents) == 8
    assert sum(row["characters"] for row in report) == sum(len(d.text) for d in documents)


def test_text_and_places_of_each_kind(folder):
    found = {document.id: document for document in load_documents(folder)[0]}
    card = found["deep/er/card.md"]
    assert card.text == "Card\n\nThe fee is 30 EUR.\n\nLimits\n\n- 500 a day\n- 2,000 a week\n\ncode  stays" and card.title == "Card"
    assert found["page.html"].text == "Saver\n\nRate: 2 % a year.\n\nGold: rate 3 %."
    assert "alert" not in found["page.html"].text and "Home" not in found["page.html"].text
    bond = found["bond.pdf"]
    assert bond.title == "Bond" and "each year, on the first of May." in bond.text and "\n\nIt cannot" in bond.text
    assert [number for _, number in bond.metadata["pages"]] == [1, 2]
    assert bond.text[bond.metadata["pages"][1][0]:] == "It cannot be sold early."
    assert found["loan.docx"].text == "Business loan\n\nThe rate is 7.2 %.\n\nTerms\n\n- No security is asked.\n\n5 years: fee 30 EUR; rate 7.2 %."
    assert [text for _, _, text in found["loan.docx"].metadata["headings"]] == ["Business loan", "Terms"]
    notes = found["notes.ipynb"]
    assert notes.text == "Orders\n\nA standing order is free.\n\nfee = 0\n\n0" and [n for _, n in notes.metadata["cells"]] == [1, 2, 3]
    assert found["plain.txt"].text == "Café hours:\nnine to five." and found["plain.txt"].title == "plain"
    assert found["r1"].text == " kept  as it is " and found["r1"].title == "Row" and found["r1"].metadata == {"lang": "en"} and found["2"].text == "Two."
    for document in found.values():
        assert all(document.text[at:at + len(text)] == text for at, _, text in document.metadata.get("headings", []))


@pytest.mark.parametrize("rows, words", [
    ("{\"id\": \"a\", \"text\": \"x\"}\n{oops", "row 2 is not JSON"), ("[1]", "row 1 is not an object"), ('{"id": "a"}', 'row 1 lacks "text"'),
    ('{"text": "x"}', 'row 1 lacks "id"'), ('{"id": "a", "text": 5}', '"text" has the wrong type'), ('{"id": "", "text": "x"}', '"id" has the wrong type'),
    ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}', "already used in row 1"), ('{"id": "a", "text": "\\ud800"}', "row 1")])
def test_a_wrong_row_names_file_and_row(tmp_path, rows, words):
    (tmp_path / "faq.jsonl").write_text(rows)
    with pytest.raises(InputError) as caught: load_documents(tmp_path / "faq.jsonl")
    assert words in str(caught.value) and "faq.jsonl" in str(caught.value)


def test_rows_without_text_are_kept_apart(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"id": "a", "text": ""}\n{"id": "b", "text": "x"}')
    assert [d.id for d in load_documents(tmp_path / "c.jsonl")[0]] == ["a", "b"]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"): load_documents(tmp_path / "nowhere")
    with pytest.raises(InputError, match="it is empty"): load_documents(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="no reader for .png"): load_documents(tmp_path)


def test_links_in_a_circle_and_odd_names(tmp_path):
    (tmp_path / "a\nb.md").write_text("# Odd\n\nname")
    os.symlink(tmp_path, tmp_path / "again")
    os.symlink(tmp_path / "gone.md", tmp_path / "dangling.md")
    documents, report = load_documents(tmp_path)
    assert [d.id for d in documents] == ["a\nb.md"]
    assert {row["file"]: row["status"] for row in report} == {"a\nb.md": "read", "dangling.md": "skipped"}


def test_the_same_row_id_in_two_files_is_reported(tmp_path):
    for name in ("a.jsonl", "b.jsonl"): (tmp_path / name).write_text('{"id": "x", "text": "t"}')
    documents, report = load_documents(tmp_path)
    assert len(documents) == 1 and "already used in a.jsonl" in report[1]["reason"]


def test_lists_in_html_nest():
    blocks = html_blocks("<ul><li>one<ul><li>two</li></ul></li><li><p>three</p></li></ul><p>end")[1]
    assert [b.text for b in blocks] == ["- one", "- two", "- three", "end"]


def test_two_column_table_reads_as_sentences():
    assert [b.text for b in markdown_blocks("| Service | Price |\n|--|--|\n| Card | 9 EUR |\n| Cheque | |\n")] == ["Card: Price 9 EUR.", "Cheque."]
    assert assemble([])[0] == ""
