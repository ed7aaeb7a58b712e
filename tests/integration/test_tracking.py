"""Runs and releases in a real MLflow store."""

import json
import sqlite3
from pathlib import Path

import pytest

from genai_factory.core import registry, tracking
from genai_factory.core.base import BusyError, DamagedError, MissingError
from genai_factory.core.files import write_manifest
from genai_factory.core.settings import Workspace
from genai_factory.core.tracking import JobRun


@pytest.fixture(scope="module")
def workspace(tmp_path_factory): return Workspace(tmp_path_factory.mktemp("ws"))


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder, kind="model")
    return folder


def test_a_run_carries_its_contract(workspace, tmp_path):
    run_id = tracking.track_run("sft", {"max_steps": 5, "seed": 1}, workspace, {"threads": "2"})
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n")
    run = JobRun("sft", tmp_path, workspace, run_id)
    run.log_metrics({"loss": 1.5}, step=1)
    digest = run.log_dataset("train", data, rows=1)
    notebook = tmp_path / "sft.ipynb"
    notebook.write_text("{}")
    tracking.finish_run(run_id, "succeeded", workspace, [notebook], {"peak_memory_mb": 12})
    stored = tracking.mlflow_client(workspace).get_run(run_id)
    tags = stored.data.tags
    assert stored.info.status == "FINISHED" and tags["job.status"] == "succeeded"
    assert stored.data.params == {"max_steps": "5", "seed": "1"} and stored.data.metrics == {"loss": 1.5, "peak_memory_mb": 12.0}
    assert tags["dataset.train"] == digest and stored.inputs.dataset_inputs[0].dataset.name == "train"
    for key in ("mlflow.source.git.commit", "git.dirty", "lock.sha256", "hardware.cpu", "hardware.cores", "hardware.memory_mb", "hardware.gpu",
                "version.python", "version.torch", "version.mlflow", "threads", "job"):
        assert tags.get(key), key
    assert [a.path for a in tracking.mlflow_client(workspace).list_artifacts(run_id)] == ["sft.ipynb"]


def test_git_facts_come_from_the_workspace(tmp_path):
    import subprocess
    assert tracking.code_tags(tmp_path)["mlflow.source.git.commit"] == "none"
    git = lambda *words: subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True)
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a"); git("commit", "-qm", "one")
    assert tracking.code_tags(tmp_path)["git.dirty"] == "false" and len(tracking.code_tags(tmp_path)["mlflow.source.git.commit"]) == 40
    (tmp_path / "a").write_text("2")
    assert tracking.code_tags(tmp_path)["git.dirty"] == "true"


def test_a_locked_database_is_said(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    tracking.track_run("sft", {}, workspace)
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "1")
    holder = sqlite3.connect(workspace.state / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(BusyError, match="locked by another program"): tracking.track_run("sft", {}, workspace)
    finally: holder.close()
    tracking.track_run("sft", {}, workspace)


def test_releases_are_versioned_and_moves_are_recorded(workspace, model):
    with pytest.raises(MissingError, match="no champion"): registry.get_release("champion", workspace)
    first = registry.register_release({"index": {"name": "handbook", "generation": 1}}, workspace, model)
    second = registry.register_release({"index": {"name": "handbook", "generation": 2}}, workspace, model)
    registry.set_alias("champion", first, "it is better", workspace, "promote")
    registry.set_alias("champion", second, "by hand", workspace)
    release = registry.get_release("champion", workspace)
    assert (release.version, release.manifest["index"]["generation"]) == (second, 2) and release.model
    assert release.decisions[0]["previous"] == first and release.decisions[0]["reason"] == "by hand"
    assert registry.current_version("challenger", workspace) == second
    assert [r.version for r in registry.list_releases(workspace)] == [second, first]
    with pytest.raises(MissingError, match="no release 99"): registry.get_release(99, workspace)


def test_a_tampered_release_is_refused(workspace, model):
    version = registry.register_release({}, workspace, model)
    file = registry.get_release(version, workspace).folder / "model/model.safetensors"
    file.write_bytes(b"weighty")
    with pytest.raises(DamagedError, match="model.safetensors"): registry.get_release(version, workspace)


def test_a_damaged_model_is_never_registered(workspace, model):
    (model / "model.safetensors").write_bytes(b"other")
    before = registry.current_version("challenger", workspace)
    with pytest.raises(DamagedError): registry.register_release({}, workspace, model)
    assert registry.current_version("challenger", workspace) == before and not list((workspace.state / "staging").glob("*"))


def test_outputs_pass_between_jobs(tmp_path):
    workspace = Workspace(tmp_path)
    def finished(run_id, job, status, steps):
        folder = workspace.runs / run_id
        folder.mkdir(parents=True)
        JobRun(job, folder, workspace).output("steps", steps)
        (folder / "status.json").write_text(json.dumps({"job": job, "status": status}))
    finished("1-sft", "sft", "succeeded", 10)
    finished("2-sft", "sft", "failed", 20)
    finished("3-align", "align", "succeeded", 30)
    assert JobRun("x", tmp_path, workspace).input("sft", "steps") == 10            # the last that succeeded
    assert JobRun("x", tmp_path, workspace, inputs={"sft": "2-sft"}).input("sft", "steps") == 20     # the one chosen
    with pytest.raises(MissingError, match="genai-factory run prepare"): JobRun("x", tmp_path, workspace).input("prepare", "dataset")
    with pytest.raises(MissingError, match="no output 'model'"): JobRun("x", tmp_path, workspace).input("sft", "model")
