"""Notebooks and package are in step, and each way of falling out of step is seen (in a small project of its own)."""

import json

import pytest
from tests.sync import ROOT, drift, run

CELLS = ["#| default_exp room", "# Room\n> One function", "#| export\ndef answer(): return 42"]


def cell(source: str, number: int) -> dict:
    "One notebook cell"
    kind = {"cell_type": "markdown"} if source.startswith("# ") else {"cell_type": "code", "execution_count": None, "outputs": []}
    return kind | {"id": f"c{number}", "metadata": {}, "source": source.splitlines(keepends=True)}


@pytest.fixture
def project(tmp_path):
    "A project with one clean, exported notebook"
    (tmp_path / "nbs").mkdir()
    (tmp_path / "house").mkdir()
    (tmp_path / "house/__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "README.md").touch()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "house"\ndynamic = ["version"]\n\n[tool.nbdev]\nlib_path = "house"\n'
                                             'nbs_path = "nbs"\nallowed_cell_metadata_keys = ["tags"]\n')
    spec = {"display_name": "python3", "language": "python", "name": "python3"}
    notebook = {"cells": [cell(s, i) for i, s in enumerate(CELLS)], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "nbs/01_room.ipynb").write_text(json.dumps(notebook, indent=1) + "\n")
    run("nbdev-clean", tmp_path)
    run("nbdev-export", tmp_path)
    assert drift(tmp_path, "house") == []
    return tmp_path


def test_this_project_is_in_step(): assert drift() == []


def test_a_hand_edited_module_is_seen(project):
    module = project / "house/room.py"
    module.write_text(module.read_text().replace("42", "43"))
    assert [line.split()[0] for line in drift(project, "house")] == ["house/room.py"]


def test_a_module_without_a_notebook_is_seen(project):
    (project / "house/old.py").write_text((project / "house/room.py").read_text())
    assert any("house/old.py has no notebook any more" in line for line in drift(project, "house"))


def test_a_notebook_that_was_not_exported_is_seen(project):
    notebook = project / "nbs/01_room.ipynb"
    notebook.write_text(notebook.read_text().replace("42", "44"))
    assert any(line.startswith("house/room.py is not what") for line in drift(project, "house"))


def test_a_missing_module_is_seen(project):
    (project / "house/room.py").unlink()
    assert any(line.startswith("house/room.py") for line in drift(project, "house"))


def test_an_unclean_notebook_is_seen_and_tags_are_kept(project):
    path = project / "nbs/01_room.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["metadata"] = {"tags": ["parameters"]}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    assert drift(project, "house") == []  # the tag that marks a job's parameters survives
    notebook["cells"][2]["execution_count"] = 7
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    assert drift(project, "house") == ["nbs/01_room.ipynb is not clean: run nbdev-clean"]


def test_the_notebooks_exist(): assert list((ROOT / "nbs").rglob("*.ipynb"))
