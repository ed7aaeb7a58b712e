"""What an installation brings along: few direct requirements, and none that is imported without being asked for."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genai_factory"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MOST = 14     # direct requirements of an installation without extras
PARTS = {     # imported under their own name, installed as an unconditional part of a declared distribution
    "pydantic-core": "pydantic", "typing-extensions": "pydantic", "idna": "httpx", "referencing": "jsonschema", "jsonschema-specifications": "jsonschema",
    "starlette": "fastapi", "huggingface-hub": "transformers", "tokenizers": "transformers", "jinja2": "torch", "scipy": "scikit-learn"}
FLOORS = ("core", "llms", "tools", "rag", "evaluators", "agents", "prompts.py", "memory.py", "stores.py", "factory.py", "orchestrator.py")  # for everybody
MODULES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def plain(requirement: str) -> str:
    "The normal form of a distribution's name: of 'PyYAML>=6; extra == …' pyyaml"
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


BASE = {plain(one) for one in PROJECT["dependencies"]}
DECLARED = BASE | {plain(one) for extra in PROJECT["optional-dependencies"].values() for one in extra}
PROVIDED = {module: {plain(one) for one in distributions} for module, distributions in packages_distributions().items()}


def imports(source: str, eager: bool = False) -> set[str]:
    "Top-level packages of others that this source imports; `eager`: only those that importing it imports at once"
    found, todo = set(), [ast.parse(source)]
    while todo:
        node = todo.pop()
        if eager and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda): continue
        if isinstance(node, ast.Import): found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level: found.add(node.module.split(".")[0])
        todo.extend(ast.iter_child_nodes(node))
    return found - sys.stdlib_module_names - {"genai_factory"}


def missing(module: str, declared: set[str]) -> bool:
    "Whether a package is neither declared nor a known part of what is"
    distributions = PROVIDED.get(module, {plain(module)})
    return not distributions & (declared | {part for part, whole in PARTS.items() if whole in declared})


def test_an_installation_without_extras_is_small():
    assert len(BASE) == len(PROJECT["dependencies"]) <= MOST, "put it into an extra, and import it where it is used"


@pytest.mark.parametrize("module", MODULES)
def test_every_import_is_declared(module):
    source = (PACKAGE / module).read_text(encoding="utf-8")
    assert not (found := {one for one in imports(source) if missing(one, DECLARED)}), f"{module} imports {found}: name it in pyproject.toml"
    if not module.startswith(FLOORS): return
    assert not (found := {one for one in imports(source, eager=True) if missing(one, BASE)}), f"{module} needs {found} at once: an extra; import it inside the function"


@pytest.mark.parametrize("part, whole", PARTS.items())
def test_a_part_comes_with_the_whole(part, whole):
    assert whole in DECLARED and part not in DECLARED
    assert part in {plain(one) for one in requires(whole) if "extra ==" not in one}, f"{whole} does not bring {part} any more: declare it"
    used = set().union(*(imports((PACKAGE / module).read_text(encoding="utf-8")) for module in MODULES))
    assert any(part in PROVIDED.get(one, ()) for one in used), "nothing imports it any more"


def test_an_undeclared_import_is_found():
    assert imports("import os, yaml\ndef f():\n    from ..core import base\n    from requests.adapters import x") == {"yaml", "requests"}
    assert imports("import yaml\nclass A:\n    import torch\n    def f(self): import requests", eager=True) == {"yaml", "torch"}
    assert missing("requests", DECLARED) and missing("torch", BASE) and missing("jinja2", BASE) and missing("no_such_package", DECLARED)
    assert not missing("yaml", BASE) and not missing("sklearn", DECLARED) and not missing("pydantic_core", BASE)
