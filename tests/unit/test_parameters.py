"""The parameters cell: every type, mark and mistake, without a kernel."""

import json
import subprocess
import sys

import pytest

from genai_factory.core.base import UsageError
from genai_factory.ops.parameters import cell_titles, check_parameters, check_value, read_cells, read_parameters, to_json_schema


def notebook(tmp_path, parameters, body="print({names})", tags=("parameters",)):
    "A notebook whose second code cell reads every name of the first"
    names = ", ".join(line.split(":")[0] for line in parameters.splitlines() if ":" in line and not line.startswith(("import", "from", " ", "#")))
    cells = [("markdown", "# A job", ()), ("code", parameters, tags), ("markdown", "## Work", ()), ("code", body.replace("{names}", names), ())]
    path = tmp_path / "job.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": kind, "id": f"c{i}", "metadata": {"tags": list(t)}, "source": text} for i, (kind, text, t) in enumerate(cells)]}))
    return path


TYPES = """from typing import Literal
whole: int = 3  # a count [1..10]
real: float = 0.5  # a share [0..1]
flag: bool = False  # a switch
word: str = "x"  # a word
maybe: int | None = None  # a count or nothing
either: None | float = 1.0  # turned round
method: Literal["dpo", "kto"] = "dpo"  # a choice
size: Literal[8, 16] = 8  # a choice of numbers
words: list[str] = ["a"]  # several
folder: str = "data"  # a folder [input]
model: str | None = None  # a model [run: sft]
recipe: str = "rlhf"  # a recipe [config]
spread: dict = {}  # not allowed"""


@pytest.fixture
def schema(tmp_path): return read_parameters(notebook(tmp_path, TYPES.rsplit("\n", 1)[0]))


@pytest.mark.parametrize("name, typed, value", [
    ("whole", "7", 7), ("whole", " +7 ", 7), ("whole", 7.0, 7), ("whole", "1e1", 10), ("real", "0.25", 0.25), ("real", 1, 1.0), ("flag", "yes", True),
    ("flag", "0", False), ("flag", True, True), ("word", "", ""), ("word", "none", "none"), ("maybe", "none", None), ("maybe", "4", 4), ("either", "null", None),
    ("method", "kto", "kto"), ("size", "16", 16), ("words", "a, b", ["a", "b"]), ("words", '["a, b"]', ["a, b"]), ("words", ["x"], ["x"]), ("model", None, None)])
def test_what_a_person_types_is_read_by_the_declared_type(schema, name, typed, value):
    got = check_parameters(schema, {name: typed})[name]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize("name, typed, told", [
    ("whole", "seven", "`whole` must be int, got 'seven'"), ("whole", "0", "[1..10], got 0"), ("whole", 2.5, "must be int"), ("whole", True, "must be int"),
    ("whole", None, "must be int"), ("whole", "", "must be int"), ("whole", "inf", "must be int"), ("real", "nan", "must be float"), ("real", "1.01", "[0..1]"),
    ("flag", "maybe", "must be bool"), ("flag", 1, "must be bool"), ("word", 5, "must be str"), ("method", "ppo", "'dpo', 'kto'"), ("size", "9", "8, 16"),
    ("words", 5, "must be list[str]"), ("words", "[1", "must be list[str]"), ("words", [1], "must be list[str]"), ("wohle", 3, "Did you mean 'whole'?")])
def test_a_wrong_value_is_named_with_its_key(schema, name, typed, told):
    with pytest.raises(UsageError) as error: check_parameters(schema, {name: typed}, "align")
    assert told in str(error.value) and str(error.value).startswith("align: ") and error.value.exit_code == 2


def test_marks_become_kinds_and_limits(schema):
    found = {p.name: p for p in schema}
    assert (found["whole"].low, found["whole"].high, found["whole"].help) == (1, 10, "a count")
    assert [(found[n].kind, found[n].job) for n in ("word", "folder", "model", "recipe")] == [("value", ""), ("input", ""), ("run", "sft"), ("config", "")]


def test_the_json_schema_accepts_the_defaults_and_refuses_what_we_refuse(schema):
    jsonschema = pytest.importorskip("jsonschema")
    described = to_json_schema(schema, "job")
    defaults = {p.name: p.default for p in schema}
    jsonschema.validate(defaults, described)
    for name, bad in [("whole", 11), ("whole", "7"), ("method", "ppo"), ("words", "a"), ("maybe", "x"), ("unknown", 1)]:
        with pytest.raises(jsonschema.ValidationError): jsonschema.validate(defaults | {name: bad}, described)


@pytest.mark.parametrize("cell, told", [
    ("n = 1  # untyped", "write `name: type = value"), ("n: int  # no value", "write `name: type = value"), ("n: dict = {}  # a dict", "has the type `dict`"),
    ("n: int = 1", "needs a comment"), ("n: int = 'x'  # wrong default", "must be int, got 'x'"), ("n: int = 0  # low [1..5]", "[1..5], got 0"),
    ("n: int = 1 + f()  # computed", "must be a literal"), ("n: str = 'a'  # typo [inptu]", "[inptu] is not known"), ("n: int = 1  # number [input]", "must be str"),
    ("n: str = 'a'  # word [1..2]", "must be int or float"), ("n: int = 1  # a\nn: int = 2  # b", "twice"), ("n: str = 'a'  # a run [run: x unless m]", "unless m, which is no parameter"), ("n: int = (1  # open", "does not parse")])
def test_a_wrong_cell_names_its_line(tmp_path, cell, told):
    with pytest.raises(UsageError) as error: read_parameters(notebook(tmp_path, cell, "print(n)"))
    assert told in str(error.value) and "job.ipynb" in str(error.value)


def test_the_tag_must_be_on_the_first_code_cell(tmp_path):
    with pytest.raises(UsageError, match="must carry the tag `parameters`"): read_parameters(notebook(tmp_path, "n: int = 1  # x", tags=()))


@pytest.mark.parametrize("body, read", [
    ("n = 2", False), ("x.n", False), ("'n'", False), ("# n", False), ("f'{n}'", True), ("def f(): return n", True), ("%matplotlib inline\nprint(n)", True),
    ("%%bash\necho $n", True), ("x = (5\n % n)", True), ("await f(n)", True)])
def test_a_parameter_nobody_reads_is_an_error(tmp_path, body, read):
    path = notebook(tmp_path, "n: int = 1  # x", body)
    if read: assert read_parameters(path)[0].name == "n"
    else:
        with pytest.raises(UsageError, match="no later cell reads the parameter `n`"): read_parameters(path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_file_that_is_no_notebook(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    with pytest.raises(UsageError, match="cannot be read as a notebook"): read_cells(tmp_path / "x.ipynb")


def test_cells_are_called_by_the_heading_above(tmp_path):
    assert cell_titles(read_cells(notebook(tmp_path, "n: int = 1  # x"))) == {"c0": "A job", "c1": "A job", "c2": "Work", "c3": "Work"}


def test_reading_a_schema_loads_no_kernel():
    code = "import sys, genai_factory.ops.parameters; print([m for m in ('nbformat', 'papermill', 'mlflow', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_list_is_checked_item_by_item(tmp_path):
    schema = read_parameters(notebook(tmp_path, "steps: list[int] = [1, 2]  # steps [1..9]"))
    assert check_value(schema[0], "3,4") == [3, 4]
    with pytest.raises(UsageError, match=r"\[1..9\], got 10"): check_value(schema[0], "3,10")
