"""The floors: imports go down. The contracts stand in pyproject.toml; here they are run, and each is seen finding a planted offender."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genai_factory"
ROOMS = ["core.base", "llms.openai", "tools.sql", "rag.index", "evaluators.text", "prompts", "memory", "agents.react", "factory", "orchestrator",
         "train.sft", "assistant.rag", "ops.runner", "app.api", "cli", "testing"]
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "evaluate", "mlflow", "gradio", "papermill", "openai", "anthropic", "pandas",
         "faiss", "bm25s", "sklearn", "matplotlib", "nbconvert", "nbformat", "IPython", "sentence_transformers"}
GROUND = {"pydantic", "yaml", "httpx", "fastcore", "opentelemetry"}  # all that floor 0 may add to the standard library at its top


def lint(folder: Path) -> subprocess.CompletedProcess:
    "Run the contracts of this project's pyproject.toml on the package in `folder`"
    command = [Path(sys.executable).parent / "lint-imports", "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "COLUMNS": "300"})


def test_the_contracts_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def house(tmp_path) -> Path:
    "An empty house with one room of every kind"
    package = tmp_path / "genai_factory"
    package.mkdir()
    (package / "__init__.py").touch()
    for room in ROOMS:
        file = package / (room.replace(".", "/") + ".py")
        file.parent.mkdir(exist_ok=True)
        for made in (file, *([file.parent / "__init__.py"] if "." in room else [])): made.touch()
    return tmp_path


def test_an_empty_house_keeps_them(house): assert lint(house).returncode == 0


@pytest.mark.parametrize("room, planted", [
    ("core.base", "def f():\n    from ..agents.react import run"),        # inside a function, up two floors
    ("llms.openai", "from genai_factory.agents import react"),            # a building block that climbs
    ("llms.openai", "from genai_factory.rag.index import open_index"),    # another kind of block
    ("prompts", "from genai_factory.memory import window"),
    ("assistant.rag", "import genai_factory.train.sft as sft"),           # the two that never meet
    ("train.sft", "from ..assistant.rag import rag_pipeline"),
    ("ops.runner", "def f():\n    import genai_factory.app.api"),
    ("core.base", "from genai_factory import make_llm"),                  # through the lazy root
    ("app.api", "import genai_factory"),
    ("train.sft", "from genai_factory.cli import main"),
    ("new_room", "x = 1"),                                                # a room that no floor names
])
def test_a_bad_import_is_found(house, room, planted):
    (house / "genai_factory" / (room.replace(".", "/") + ".py")).write_text(planted + "\n")
    done = lint(house)
    assert done.returncode == 1 and "BROKEN" in done.stdout, done.stdout


def test_a_cycle_on_a_floor_is_found(house):
    (house / "genai_factory/factory.py").write_text("from .agents import react\n")
    (house / "genai_factory/agents/react.py").write_text("def f():\n    from ..factory import make_llm\n")
    assert "No cycles on a floor or in a room BROKEN" in lint(house).stdout


def eager(source: str) -> set[str]:
    "Packages that importing this source imports at once: not those inside functions, nor those for type checkers"
    found, todo = set(), list(ast.parse(source).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda): continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test): continue
        if isinstance(node, ast.Import): found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level and node.module: found.add(node.module.split(".")[0])
        todo.extend(ast.iter_child_nodes(node))
    return found


MODULES = sorted(p.relative_to(ROOT).as_posix() for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_heavy_things_are_imported_where_they_are_used(module):
    found = eager((ROOT / module).read_text(encoding="utf-8"))
    assert not found & HEAVY, f"{module} imports {found & HEAVY} when it is imported; import it inside the function that needs it"
    if module.startswith("genai_factory/core/"):
        assert not found - GROUND - sys.stdlib_module_names - {"genai_factory"}, f"{module} stands on floor 0"
    if module == "genai_factory/__init__.py": assert found <= sys.stdlib_module_names


def test_an_eager_import_is_found():
    assert eager("try:\n    import torch.nn\nexcept ImportError: pass") == {"torch"}
    assert eager("class A:\n    from mlflow import log_metric") == {"mlflow"}
    assert eager("def f():\n    import torch\nif TYPE_CHECKING:\n    import torch") == set()


def test_notebook_numbers_are_unique_and_go_with_one_module_each():
    notebooks = [p for p in (ROOT / "nbs").rglob("[0-9][0-9]*.ipynb") if not {"jobs", "tutorials", ".ipynb_checkpoints"} & set(p.parts)]
    numbers = [p.name.partition("_")[0] for p in notebooks]
    assert all(re.fullmatch(r"\d\d[a-z]?", number) for number in numbers), numbers
    assert notebooks and len(set(numbers)) == len(numbers), f"numbers used twice: {sorted({n for n in numbers if numbers.count(n) > 1})}"
    for notebook in notebooks:
        module = PACKAGE / notebook.parent.relative_to(ROOT / "nbs") / (notebook.stem.partition("_")[2] + ".py")
        assert module.is_file(), f"{notebook.name} should export {module.relative_to(ROOT)}"


def test_rooms_have_a_readable_size():
    "A room is at most 300 exported lines: comments that nbdev adds and blank lines are not counted"
    sizes = {m: sum(bool(line.strip()) and not line.startswith("# %%") for line in (ROOT / m).read_text(encoding="utf-8").splitlines())
             for m in MODULES if not m.endswith(("_modidx.py", "__init__.py"))}
    assert not {m: n for m, n in sizes.items() if n > 300}, "split these rooms"
