"""Turns data/make/sources/*.md into the PDF, DOCX and notebook documents of the handbook; the others are written as they stand.

A source begins with `# Title` and a line `> folder/name.ext` that names the file to make. It may hold `## ` headings, paragraphs,
lists (`- `, `1. `) and, for a notebook, fenced Python cells. The bytes do not depend on the clock.
"""
from __future__ import annotations
import io
import json
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from facts import DATA, HERE

MADE = datetime(2026, 4, 1, tzinfo=UTC)


def blocks(text: str) -> list[tuple[str, str]]:
    "A source as (kind, text) blocks: title, heading, paragraph, item, code."
    found = []
    for part in re.split(r"\n\s*\n(?![^`]*```\n)", text.strip()):
        if part.startswith("```"): found.append(("code", part.removeprefix("```python\n").removesuffix("```").strip()))
        elif part.startswith("## "): found.append(("heading", part[3:]))
        elif part.startswith("# "): found.append(("title", part[2:]))
        elif re.match(r"(- |\d\. )", part): found += [("item", re.sub(r"^(- |\d\. )", "", line)) for line in part.splitlines()]
        elif not part.startswith("> "): found.append(("paragraph", part))
    return found


def pdf(parts: list[tuple[str, str]]) -> bytes:
    from fpdf import FPDF
    sheet = FPDF()
    sheet.set_creation_date(MADE)
    sheet.set_title(parts[0][1])
    sheet.set_margin(22)
    sheet.add_page()
    for kind, text in parts:
        sheet.set_font("Helvetica", "B" if kind in ("title", "heading") else "", {"title": 18, "heading": 13}.get(kind, 10.5))
        sheet.multi_cell(0, 5.5 if kind not in ("title", "heading") else 9, ("- " if kind == "item" else "") + text, align="L", new_x="LMARGIN", new_y="NEXT")
        sheet.ln(0 if kind == "item" else 2.5)
    return bytes(sheet.output())


def docx(parts: list[tuple[str, str]]) -> bytes:
    from docx import Document
    document = Document()
    document.core_properties.created = document.core_properties.modified = MADE.replace(tzinfo=None)
    document.core_properties.title, document.core_properties.author = parts[0][1], "Harbor Bank"
    for kind, text in parts:
        if kind in ("title", "heading"): document.add_heading(text, 1 if kind == "title" else 2)
        else: document.add_paragraph(text, style="List Bullet" if kind == "item" else None)
    raw, fixed = io.BytesIO(), io.BytesIO()
    document.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(fixed, "w") as target:
        for name in sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            entry = zipfile.ZipInfo(name, (2026, 4, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            target.writestr(entry, source.read(name))
    return fixed.getvalue()


def notebook(parts: list[tuple[str, str]]) -> bytes:
    marks = {"title": "# ", "heading": "## ", "item": "- "}
    cells = []
    for number, (kind, text) in enumerate(parts):
        cell = {"cell_type": "code" if kind == "code" else "markdown", "id": f"cell-{number:02d}", "metadata": {},
                "source": (marks.get(kind, "") + text).splitlines(keepends=True)}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    book = {"cells": cells, "metadata": {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(book, indent=1) + "\n").encode()


def build() -> dict[str, bytes]:
    "The made documents, by their path below data/."
    made, writers = {}, {"pdf": pdf, "docx": docx, "ipynb": notebook}
    for source in sorted((HERE / "sources").glob("*.md")):
        text = source.read_text()
        name = re.search(r"^> (\S+)$", text, re.M)[1]
        made[f"handbook/{name}"] = writers[name.rsplit(".", 1)[1]](blocks(text))
    return made


def text_of(path: Path, content: bytes | None = None) -> str:
    "The text of a document, without headings, tables, code and marks: its prose."
    content, kind = path.read_bytes() if content is None else content, path.suffix
    if kind == ".pdf":
        from pypdf import PdfReader
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    if kind == ".docx":
        from docx import Document
        return "\n".join(part.text for part in Document(io.BytesIO(content)).paragraphs if not part.style.name.startswith("Heading"))
    if kind == ".ipynb": text = "\n\n".join("".join(cell["source"]) for cell in json.loads(content)["cells"] if cell["cell_type"] == "markdown")
    elif kind == ".html":
        from bs4 import BeautifulSoup
        soup = BeautifulSoup(content.decode(), "html.parser")
        return "\n".join(tag.get_text(" ", strip=True) for tag in soup.find_all(["p", "li"]))
    else: text = content.decode()
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", "|")))


def documents() -> dict[str, str]:
    "Stem -> prose of every document that stands in the handbook."
    return {path.stem: text_of(path) for path in sorted((DATA / "handbook").rglob("*")) if path.is_file()}


if __name__ == "__main__":
    for name, text in documents().items(): print(len(text.split()), name)
