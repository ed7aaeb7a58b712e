"""The figures in the pages are the measured ones, the commands exist, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from tests import figures

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", figures.PAGES)
def test_figures_are_the_measured_ones(page):
    text = (ROOT / page).read_text()
    assert figures.filled(text) == text, "run: python tests/figures.py"


def test_a_changed_figure_is_noticed():
    text = (ROOT / "README.md").read_text()
    assert figures.FIGURE.search(text), "README.md states no measured figure"
    forged = figures.FIGURE.sub(lambda m: m[1] + "0.999" + m[6], text, count=1)
    assert figures.filled(forged) != forged


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text):
        if not target.startswith(("http://", "https://", "mailto:")): assert ((ROOT / page).parent / target).exists(), target


def test_commands_in_the_readme_exist():
    import click
    from typer.main import get_command

    from genai_factory.cli import app
    command, known = get_command(app), set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\bmake ([\w-]+)", text): assert target in known, f"make {target}"
    for name in re.findall(r"genai-factory ([a-z]\w*)", text):
        assert command.get_command(click.Context(command), name), f"genai-factory {name}"
