"""The risk model from its job to its tool: the real notebook, the real registry, the same answers, and nothing loaded that was changed."""

import asyncio
import importlib.util
import json
import marshal
import shutil
import sys
from pathlib import Path

import pytest

from genai_factory.core.base import DamagedError, InputError, MissingError, ToolCall, UsageError
from genai_factory.core.files import write_manifest
from genai_factory.core.registry import get_release
from genai_factory.core.settings import Workspace
from genai_factory.core.tracking import mlflow_client
from genai_factory.ops.flow import FLOWS
from genai_factory.ops.runner import run_job
from genai_factory.tools.risk import risk_tool
from genai_factory.tools.toolset import Toolset
from genai_factory.train.scorecard import make_card, register_card
from genai_factory.train.tabular import PERSONAL, UNITS, candidates, fit, read_credit

CREDITS = Path(__file__).parents[2] / "data/credit/german_credit.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    "A workspace in which `train_risk` has run, with three folds instead of ten"
    workspace = Workspace(tmp_path_factory.mktemp("risk"))
    return workspace, run_job("train_risk", {"data": str(CREDITS), "folds": 3}, workspace)


def test_the_job_registers_what_it_judged(trained):
    workspace, result = trained
    assert result.status == "succeeded", (workspace.runs / result.run_id / "log.txt").read_text()[-3000:]
    measured, client = result.outputs["measured"], mlflow_client(workspace)
    assert measured["auroc.low"] < measured["auroc"] < measured["auroc.high"] and measured["auroc"] >= measured["baseline.auroc"] > 0.7
    assert measured["cost"] < 0.68 and 0 < measured["ece"] < 0.15 and 0.1 < measured["brier"] < 0.2     # 0.68: every credit called bad
    version = client.get_model_version("credit_risk", str(result.outputs["version"]))
    run = client.get_run(version.run_id)
    assert run.data.metrics["auroc"] == pytest.approx(measured["auroc"]) and run.data.params["candidate"] and run.data.tags["dataset.credit"]
    alias = "champion" if measured["cost"] <= 0.55 else "challenger"
    assert client.get_model_version_by_alias("credit_risk", alias).version == version.version
    files = {path.suffix for path in (workspace.runs / result.run_id / "model").rglob("*") if path.is_file()}
    assert not files & {".pkl", ".pickle", ".joblib", ".skops"} and (workspace.runs / result.run_id / "train_risk.html").exists()


@pytest.fixture(scope="module")
def table():
    table, _ = read_credit(CREDITS)
    return table[[name for name in table if name not in PERSONAL]]


def test_the_tool_answers_what_the_registered_model_answers(trained, table):
    import mlflow
    workspace, result = trained
    tool = risk_tool(f"models:/credit_risk/{result.outputs['version']}", workspace)
    mlflow.set_tracking_uri(workspace.tracking_uri)
    mlflow.set_registry_uri(workspace.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/credit_risk/{result.outputs['version']}")
    rows = table.iloc[::5].head(100).reset_index(drop=True)
    wanted, toolset = model.predict(rows), Toolset([tool])
    async def ask(): return [await toolset.acall(ToolCall(str(n), "credit_risk", rows.iloc[n].to_json())) for n in range(100)]
    for n, found in enumerate(asyncio.run(ask())):
        assert found.status == "ok", found.error
        answer, effects = json.loads(found.message.text), json.loads(wanted["effects"][n])
        assert answer["probability"] == wanted["probability"][n] and answer["band"] == wanted["band"][n] and answer["model"] == "credit_risk version 1"
        heaviest = sorted(effects, key=lambda name: -abs(effects[name]))[:4]
        assert [(r["feature"], r["effect"]) for r in answer["main_reasons"]] == [(name, round(effects[name], 3)) for name in heaviest]
        assert all(r["risk"] == ("raises" if r["effect"] > 0 else "lowers") and rows[r["feature"]][n] == r["value"] for r in answer["main_reasons"])
        assert sum(effects.values()) + wanted["base"][n] == pytest.approx(wanted["log_odds"][n], abs=1e-6)


@pytest.fixture(scope="module")
def small(tmp_path_factory, table):
    "A workspace with a quickly made champion"
    workspace = Workspace(tmp_path_factory.mktemp("small"))
    _, bad = read_credit(CREDITS)
    card = make_card(fit(candidates(table)["binned"], table, bad), table, UNITS)
    register_card(card, table.head(2), workspace.root / "model", workspace)
    return workspace


def test_the_form_and_what_it_refuses(small, table):
    tool, credit = risk_tool(workspace=small), json.loads(table.iloc[1].to_json())
    fields = tool.parameters["properties"]
    assert tool.risk == "reads" and list(fields) == list(table) == tool.parameters["required"] and tool.parameters["additionalProperties"] is False
    assert fields["duration"] == {"type": "integer", "minimum": int(table["duration"].min()), "maximum": int(table["duration"].max()), "description": "months"}
    assert fields["purpose"]["enum"] == sorted(table["purpose"].unique()) and "vacation" not in fields["purpose"]["enum"]
    assert tool.function(**credit)["probability"] == tool.function(**credit | {"duration": float(credit["duration"])})["probability"]
    for change, told in [({"duration": 400}, "duration = 400 is not a whole number from 4 to 60"), ({"duration": 12.5}, "12.5"), ({"duration": True}, "True"), ({"duration": float("nan")}, "nan"),
                         ({"purpose": "yacht"}, "purpose = 'yacht' is not one of: appliances, business"), ({"age": 30}, "unknown: age; the fields are checking_account"), ({"duration": None}, "None")]:
        with pytest.raises(InputError, match=told): tool.function(**credit | change)
    with pytest.raises(InputError, match="missing: duration, purpose"): tool.function(**{k: v for k, v in credit.items() if k not in ("duration", "purpose")})
    for arguments, told in [(credit | {"duration": 400}, "60"), (credit | {"purpose": "yacht"}, "new car"), ({"duration": 12}, "required")]:     # as a language model sees it
        found = asyncio.run(Toolset([tool]).acall(ToolCall("1", "credit_risk", json.dumps(arguments))))
        assert found.status == "error" and told in found.message.text


def test_a_missing_model_names_the_job(tmp_path_factory, small):
    empty = Workspace(tmp_path_factory.mktemp("empty"))
    for model in ("models:/credit_risk@champion", "models:/credit_risk/1", "models:/other@champion"):
        with pytest.raises(MissingError, match="genai-factory run train_risk"): risk_tool(model, empty)
    with pytest.raises(MissingError, match="train_risk"): risk_tool("models:/credit_risk/7", small)
    for model in ("credit_risk", "models:/credit_risk", "models:/credit_risk@a/b", "runs:/1/model"):
        with pytest.raises(UsageError, match="is no address"): risk_tool(model, small)


@pytest.fixture
def files(small, tmp_path):
    "The folder of the registered files, which stands again as it was when the test is over"
    folder = next((small.state / "artifacts").glob("*/artifacts/credit_risk"))
    shutil.copytree(folder, tmp_path / "copy")
    yield folder
    shutil.rmtree(folder)
    shutil.move(tmp_path / "copy", folder)


@pytest.mark.parametrize("how", ["card", "code", "manifest too", "added file", "missing file", "no manifest"])
def test_changed_files_are_not_loaded(small, files, how):
    folder = files
    if how in ("card", "manifest too"): (folder / "artifacts/card.json").write_text((folder / "artifacts/card.json").read_text().replace('"slope": ', '"slope": 1'))
    if how == "code": (folder / "credit_risk.py").write_text("raise SystemExit('this ran')")
    if how == "manifest too": write_manifest(folder, kind="credit_risk")
    if how == "added file": (folder / "sitecustomize.py").write_text("")
    if how == "missing file": (folder / "artifacts/card.json").unlink()
    if how == "no manifest": (folder / "manifest.json").unlink()
    with pytest.raises(DamagedError): risk_tool(workspace=small)


def plant(folder: Path, where: str) -> None:
    "Bytecode that Python would run in place of the model's verified source"
    source = folder / "credit_risk.py"
    code = compile(source.read_text() + f"\nopen({str(folder.parent / 'ran')!r}, 'w').close()\n", str(source), "exec")
    (folder / where).mkdir()
    (folder / where / f"credit_risk.{sys.implementation.cache_tag}.pyc").write_bytes(importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code))


def test_planted_bytecode_never_runs(small, files):
    plant(files, "__pycache__")
    risk_tool(workspace=small)
    assert not (files.parent / "ran").exists()


@pytest.mark.parametrize("how", ["folder", "link to a folder", "link to a file", "link in place of a file", "folder of its own"])
def test_links_and_other_folders_are_not_loaded(small, files, tmp_path, how):
    if how == "folder": (files / "empty").mkdir()
    if how == "link to a folder": (files / "x").symlink_to(tmp_path)
    if how == "link to a file": (files / "x.py").symlink_to("/etc/hostname")
    if how == "link in place of a file": (files / "credit_risk.py").rename(tmp_path / "code.py"); (files / "credit_risk.py").symlink_to(tmp_path / "code.py")
    if how == "folder of its own": (files / "artifacts").rename(tmp_path / "artifacts"); (files / "artifacts").symlink_to(tmp_path / "artifacts")
    with pytest.raises(DamagedError): risk_tool(workspace=small)


def test_loading_leaves_nothing_in_the_folder(small, files):
    before = sorted(files.rglob("*"))
    risk_tool(workspace=small)
    assert sorted(files.rglob("*")) == before


def test_long_version_numbers_and_a_broken_database_are_told(small, tmp_path):
    with pytest.raises(MissingError): risk_tool("models:/credit_risk/" + "9" * 40, small)
    with pytest.raises(MissingError): get_release("9" * 40, small)
    broken = Workspace(tmp_path)
    broken.prepare()
    (broken.state / "mlflow.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(DamagedError, match="mlflow.db"): risk_tool("models:/credit_risk/1", broken)


def test_a_tool_keeps_the_version_it_was_made_with(small, table):
    credit, old = json.loads(table.iloc[1].to_json()), risk_tool(workspace=small)
    before = old.function(**credit)
    _, bad = read_credit(CREDITS)
    register_card(make_card(fit(candidates(table)["baseline"], table, bad), table, UNITS), table.head(2), small.root / "second", small)
    new = risk_tool(workspace=small).function(**credit)
    assert old.function(**credit) == before and before["model"] == "credit_risk version 1" and new["model"] == "credit_risk version 2" and new["probability"] != before["probability"]


def test_the_job_says_what_is_wrong_with_its_input(tmp_path):
    with pytest.raises(InputError, match="none.csv"): run_job("train_risk", {"data": "none.csv"}, Workspace(tmp_path))
    result = run_job("train_risk", {"data": str(CREDITS), "leave_out": "sex"}, Workspace(tmp_path))
    assert result.status == "failed" and "there is no feature 'sex'" in result.message


def test_the_smoke_flow_holds_every_job():
    assert sorted(FLOWS["smoke"].jobs) == sorted(path.stem for path in (CREDITS.parents[2] / "nbs/jobs").glob("*.ipynb"))
