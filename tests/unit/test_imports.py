"""What is imported when: the root is light, a command's help is light, and the public names are seen by people and by tools all the same."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import genai_factory
import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "trl", "mlflow", "gradio", "papermill", "openai", "anthropic", "pandas"}


def imported(code: str, cwd: Path) -> set[str]:
    "Top-level names in sys.modules after a new process ran `code`"
    show = "import sys as _s, json as _j; _s.stdout.flush(); print(); print(_j.dumps(sorted({m.split('.')[0] for m in _s.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


HELP = """
import sys
from genai_factory.cli import main
sys.argv = ["genai-factory", *{arguments}]
try: main()
except SystemExit as end: assert not end.code, end.code
"""


def test_the_root_imports_the_standard_library_only(tmp_path):
    bare = imported("pass", tmp_path)
    new = imported("import genai_factory", tmp_path) - bare
    assert new - sys.stdlib_module_names == {"genai_factory"}, f"import genai_factory brought in {sorted(new)}"


@pytest.mark.parametrize("code, may", [
    ("import genai_factory; dir(genai_factory)", set()),
    ("from genai_factory import make_llm; make_llm('openai:x', api_key='none')", {"openai"}),
    ("from genai_factory import make_llm; make_llm('anthropic:x', api_key='none')", {"anthropic"}),
    (HELP.format(arguments=["--help"]), set()),
    (HELP.format(arguments=["run", "--help"]), set()),
])
def test_nothing_heavy_comes_along(tmp_path, code, may):
    found = imported(code, tmp_path) & HEAVY
    assert found <= may, f"{sorted(found - may)} came along"


def test_a_heavy_import_would_be_seen(tmp_path): assert "pandas" in imported("import pandas", tmp_path)


def checked_names() -> set[str]:
    "Names under `if TYPE_CHECKING:` in the root, with the module each is said to come from"
    tree = ast.parse((ROOT / "genai_factory/__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {(alias.asname, node.module) for node in block.body for alias in node.names}


def test_the_lazy_table_and_the_names_for_type_checkers_are_equal():
    assert checked_names() == set(genai_factory._LAZY.items())
    assert set(genai_factory.__all__) == {"__version__", *genai_factory._LAZY}
    assert set(genai_factory.__all__) <= set(dir(genai_factory))


@pytest.mark.parametrize("name", sorted(genai_factory._LAZY))
def test_each_public_name_is_there(name): assert getattr(genai_factory, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"): _ = genai_factory.no_such_name


def test_mypy_sees_the_public_names(tmp_path):
    (tmp_path / "user.py").write_text("from genai_factory import make_llm, Message\nreveal_type(make_llm)\nMessage(role=1)\n")
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--follow-imports", "silent", tmp_path / "user.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "Revealed type is" in done.stdout and '"Any"' not in done.stdout, done.stdout
    assert "arg-type" in done.stdout, "a wrong type given to a public name is not seen:\n" + done.stdout
