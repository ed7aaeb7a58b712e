"""What is shipped: the wheel holds the package and each job notebook once, and a job runs from it outside the checkout."""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = sorted(p.name for p in (ROOT / "nbs/jobs").glob("*.ipynb"))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    "The sdist of this checkout, and the wheel that is made from it, built without a network"
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_wheel_holds_the_package_and_each_job_once(built):
    names = zipfile.ZipFile(built[1]).namelist()
    assert max(Counter(names).values()) == 1
    assert sorted(n.removeprefix("genai_factory/notebooks/") for n in names if n.endswith(".ipynb")) == JOBS
    tracked = subprocess.run(["git", "ls-files", "genai_factory"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert set(tracked) <= set(names), f"not shipped: {sorted(set(tracked) - set(names))}"
    beside = {n.split("/")[0] for n in names}
    assert {b for b in beside if not b.endswith(".dist-info")} == {"genai_factory"}
    assert any(n.endswith("dist-info/licenses/LICENSE") for n in names)


def test_the_sdist_holds_the_sources_and_no_state(built):
    with tarfile.open(built[0]) as archive: names = ["/".join(n.split("/")[1:]) for n in archive.getnames()]
    for wanted in ("nbs/core/01_base.ipynb", "genai_factory/core/base.py", "pyproject.toml", "settings.ini", "constraints.txt", "Makefile", "LICENSE"):
        assert wanted in names, wanted
    assert not [n for n in names if n.startswith((".venv", ".genai_factory", "tests/results")) or "__pycache__" in n]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    "The wheel in a virtual environment of its own, which borrows the dependencies (but not the editable checkout) of this one"
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False)
    binary = folder / "venv/bin/python"
    target = subprocess.run([binary, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True).stdout.strip()
    subprocess.run([sys.executable, "-m", "pip", "--python", binary, "install", "-q", "--no-deps", "--no-index", built[1]], check=True)
    (Path(target) / "borrowed.pth").write_text(site.getsitepackages()[0] + "\n")  # a plain path: .pth files found there are not read
    keep = ("HOME", "PATH", "LANG", "OMP_NUM_THREADS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    environment = {k: os.environ[k] for k in keep if k in os.environ} | {"JUPYTER_PATH": f"{sys.prefix}/share/jupyter"}

    def run(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run([folder / "venv/bin" / command[0], *command[1:]], cwd=folder, env=environment, capture_output=True, text=True)
    return folder, run


def test_the_installed_package_is_the_wheel(installed):
    folder, run = installed
    where = run("python", "-c", "import genai_factory; print(genai_factory.__file__, genai_factory.__version__)").stdout
    assert where.startswith(str(folder)), where
    assert run("genai-factory", "--help").returncode == 0


def test_a_job_runs_from_the_wheel(installed):
    folder, run = installed
    pages = folder / "pages"
    pages.mkdir()
    shutil.copy(ROOT / "CONTRIBUTING.md", pages / "contributing.md")
    done = run("genai-factory", "run", "ingest", "-p", f"documents={pages}", "--workspace", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / ".genai_factory/mlflow.db").is_file()
    assert "ingest" in run("genai-factory", "runs", "--workspace", str(folder)).stdout
