"""The real jobs, smoke-sized, through the runner: what each MLflow run carries, what is skipped, and what runs again."""

import json
import shutil
from pathlib import Path

import pytest

from genai_factory.core.settings import open_workspace
from genai_factory.core.tracking import mlflow_client
from genai_factory.ops.flow import RETRAIN, run_flow

ROOT = Path(__file__).parents[2]
SMOKE = {"sft": {"max_steps": 5, "validation_rows": 4}, "align": {"max_steps": 3}, "evaluate": {"limit": 8}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    "A workspace with its own copy of the sample data, so that a test may change a document"
    root = tmp_path_factory.mktemp("workspace")
    (root / "settings.ini").write_text("[local]\nthreads = 1\n")
    for part in ("handbook", "qa", "preferences"): shutil.copytree(ROOT / "data" / part, root / "data" / part)
    return open_workspace(root)


@pytest.fixture(scope="module")
def results(workspace):
    results = run_flow("retrain", workspace, SMOKE)
    assert [(r.name, r.status) for r in results] == [(job, "succeeded") for job in RETRAIN], [r.message for r in results]
    return {result.name: result for result in results}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("job", RETRAIN)
def test_every_run_carries_the_contract(workspace, results, job):
    client, result = mlflow_client(workspace), results[job]
    found = [run for run in client.search_runs([client.get_experiment_by_name("genai_factory").experiment_id], f"tags.job = '{job}'")
             if run.data.tags["job.status"] == "succeeded"]
    assert len(found) == 1
    run, tags = found[0], found[0].data.tags
    assert run.info.status == "FINISHED" and run.data.params and run.data.metrics
    for key in ("mlflow.source.git.commit", "git.dirty", "lock.sha256", "hardware.cpu", "hardware.cores", "hardware.memory_mb", "hardware.gpu",
                "version.python", "version.torch", "version.transformers", "version.mlflow", "threads", "mlflow.source.name"): assert tags.get(key), key
    assert [key for key in tags if key.startswith(("dataset.", "input."))], "no fingerprint of what it read"
    if "seed" in run.data.params: assert int(run.data.params["seed"]) >= 0
    assert run.data.metrics["peak_memory_mb"] > 50
    artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert {f"{job}.ipynb", f"{job}.html"} <= artifacts, artifacts
    executed = json.loads((result.folder / f"{job}.ipynb").read_text())
    assert any(cell.get("outputs") for cell in executed["cells"])


def test_jobs_that_depend_on_chance_record_their_seed(workspace, results):
    client = mlflow_client(workspace)
    runs = client.search_runs([client.get_experiment_by_name("genai_factory").experiment_id])
    seeded = {run.data.tags["job"] for run in runs if "seed" in run.data.params}
    assert {"prepare", "sft", "align", "evaluate"} <= seeded


def test_an_untrained_model_is_rejected_and_never_serves(workspace, results):
    from genai_factory.core.registry import current_version
    outputs = json.loads((results["release"].folder / "outputs.json").read_text())
    assert outputs["verdict"]["value"] == "reject" and current_version("champion", workspace) is None
    assert current_version("challenger", workspace) == outputs["version"]["value"]


def test_a_second_flow_skips_everything(workspace, results):
    assert {r.name: r.status for r in run_flow("retrain", workspace, SMOKE)} == dict.fromkeys(RETRAIN, "unchanged")


def test_one_changed_document_runs_only_what_reads_it(workspace, results):
    (workspace.root / "README.md").write_text("Not an input.")
    document = workspace.root / "data/handbook/loans/personal-loan.md"
    document.write_text(document.read_text().replace("8.9%", "8.7%"))
    statuses = {r.name: r.status for r in run_flow("retrain", workspace, SMOKE)}
    assert statuses == {"ingest": "succeeded", "prepare": "unchanged", "sft": "unchanged", "align": "unchanged", "evaluate": "succeeded", "release": "succeeded"}
