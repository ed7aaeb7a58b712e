"""One job, run for real: what is recorded, what is skipped, what is refused, what is gone on with."""

import json
import sqlite3
import threading

import pytest
from jobkit import RUN, mlflow_run, with_settings, write_job

from genai_factory.core.base import BusyError, DamagedError, InputError, MissingError, UsageError
from genai_factory.ops import runner, runs, steps
from genai_factory.ops.runner import get_run, list_jobs, list_runs, run_job


def test_a_run_leaves_a_folder_a_row_and_an_mlflow_run(workspace):
    (workspace.root / "notes.txt").write_text("one")
    write_job(workspace, "measure", "seed: int = 7  # seed\nfile: str = 'notes.txt'  # what to read [input]",
              RUN + "import os; from pathlib import Path", "text = Path(file).read_text()", "run.progress(1, 2, 'half')",
              "run.log_metrics({'length': len(text) + seed})",
              "run.output('env', {k: os.environ.get(k) for k in ('OMP_NUM_THREADS', 'MLFLOW_DISABLE_TELEMETRY', 'DO_NOT_TRACK', 'HF_HUB_OFFLINE', 'PYTHONHASHSEED')})",
              "(run.folder / 'made.txt').write_text('x'); run.output('made', run.folder / 'made.txt')", "import time; time.sleep(1.5)")
    events = []
    result = run_job("measure", {"seed": "9"}, workspace, on_event=events.append)
    assert result.status == "succeeded" and result.outputs["made"].read_text() == "x"
    assert result.outputs["env"] == {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    row = get_run(workspace, result.run_id)
    assert (row["threads"], row["parameters"]["seed"], row["tracked"]) == (1, 9, 1) and row["peak_mb"] > 30 and row["ended"] > row["started"]
    tracked, artifacts = mlflow_run(workspace, result.run_id)
    assert tracked.info.status == "FINISHED" and tracked.data.params == {"seed": "9", "file": "notes.txt"}
    assert tracked.data.metrics["length"] == 12 and tracked.data.metrics["peak_memory_mb"] > 30 and tracked.data.metrics["seconds"] > 1
    assert {"git.dirty", "lock.sha256", "threads", "seed", "step.key", "input.file", "hardware.cores", "version.python"} <= set(tracked.data.tags)
    assert artifacts >= {"measure.ipynb", "measure.html", "log.txt", "outputs.json", "step.json"}
    assert [e["title"] for e in events if e["event"] == "cell"][-1] == "Body" and {"event": "progress", "done": 1, "total": 2, "text": "half"}.items() <= \
        next(e for e in events if e["event"] == "progress").items()
    assert not (result.folder / ".jupyter").exists() and json.loads((result.folder / "status.json").read_text())["status"] == "succeeded"


def test_what_changes_the_key_and_what_does_not(workspace):
    (workspace.root / "docs").mkdir()
    (workspace.root / "docs" / "a.md").write_text("one")
    (workspace.root / "helper.py").write_text("def length(text): return len(text)\n")
    write_job(workspace, "read", "docs: str = 'docs'  # folder [input]", RUN + "from pathlib import Path; from helper import length",
              "(run.folder / 'n.txt').write_text(str(length((Path(docs) / 'a.md').read_text()))); run.output('n', run.folder / 'n.txt')")
    write_job(workspace, "use", "n: str = 'latest'  # from read [run: read]", RUN + "run.output('twice', run.input('read', 'n').read_text() * 2, ) ; n")
    with pytest.raises(MissingError, match="genai-factory run read"): run_job("use", {}, workspace)
    first, used = run_job("read", {}, workspace), run_job("use", {}, workspace)
    assert used.outputs == {"twice": "33"} and get_run(workspace, used.run_id)["inputs"] == {"read": first.run_id}
    status = lambda job, **words: run_job(job, words, workspace).status

    (workspace.root / "README.md").write_text("news")
    (workspace.root / "unrelated.py").write_text("x = 1")
    notebook = workspace.root / "nbs" / "jobs" / "read.ipynb"
    notebook.write_text(notebook.read_text().replace("## Body", "## Better prose"))
    assert (status("read"), status("use")) == ("unchanged", "unchanged")
    again = run_job("read", {}, workspace, force=True)                      # another run, the same result
    assert again.status == "succeeded" and again.run_id != first.run_id and status("use") == "unchanged"

    code = (workspace.root / "helper.py").read_text()
    (workspace.root / "helper.py").write_text(code.replace("len(text)", "2 * len(text)"))   # code
    assert status("read") == "succeeded"
    (workspace.root / "helper.py").write_text(code)
    (workspace.root / "docs" / "a.md").write_text("three")                  # an input
    assert (status("read"), status("use")) == ("succeeded", "succeeded")
    (workspace.root / "docs" / "a.md").write_text("one")                    # and back: both results are still there
    assert run_job("read", {}, workspace).run_id == again.run_id and run_job("use", {}, workspace).run_id == used.run_id
    (again.folder / "n.txt").write_text("4")                                # the newest intact one is taken
    assert run_job("read", {}, workspace).run_id == first.run_id
    (first.folder / "outputs.json").unlink()
    with pytest.raises(DamagedError, match="outputs.json is missing or was changed.*genai-factory run read"): run_job("use", {}, workspace)


def test_a_failed_run_says_where_and_is_gone_on_with(workspace):
    write_job(workspace, "train", "steps: int = 3  # steps", RUN + "done = (run.resume / 'reached').read_text() if run.resume else '0'",
              "(run.folder / 'reached').write_text('2'); run.output('done', done)\nif not run.resume: raise ValueError(f'lost power after {steps}')", title="The training")
    first = run_job("train", {}, workspace, threads=3)
    assert (first.status, first.cell, first.exit_code) == ("failed", "The training", 1)
    assert "in “The training” (cell c4)" in first.message and "ValueError: lost power after 3" in first.message
    assert f"log: {first.folder / 'log.txt'}" in first.message and first.outputs == {}
    tracked, artifacts = mlflow_run(workspace, first.run_id)
    assert tracked.info.status == "FAILED" and tracked.data.tags["job.status"] == "failed" and "train.html" in artifacts
    assert "failed in “The training”" in (first.folder / "train.html").read_text()
    assert run_job("train", {"steps": 4}, workspace).status == "failed"      # another step does not go on from it
    second = run_job("train", {}, workspace)
    assert second.status == "succeeded" and second.outputs == {"done": "2"}
    row = get_run(workspace, second.run_id)
    assert (row["resumed_from"], row["threads"]) == (first.run_id, 3)        # with the threads of the first
    assert get_run(workspace, run_job("train", {}, workspace, force=True).run_id)["resumed_from"] == ""


def test_settings_can_ask_for_more_attempts(workspace, monkeypatch):
    monkeypatch.setattr(runner, "RETRY_WAIT_S", 0.01)
    write_job(workspace, "shaky", "n: int = 1  # n", RUN + "if not run.resume: raise OSError('disk busy')", "run.output('n', n)")
    write_job(workspace, "wrong", "n: int = 1  # n", "from genai_factory.core.base import InputError\nraise InputError(f'row {n} is not JSON')")
    events = []
    result = run_job("shaky", {}, with_settings(workspace, job_retries=2), on_event=events.append)
    assert result.status == "succeeded" and [e["event"] for e in events if e["event"] in ("retry", "end")] == ["retry", "end"]
    assert [(r["status"], r["attempt"]) for r in list_runs(workspace, "shaky")] == [("succeeded", 2), ("failed", 1)]
    assert run_job("wrong", {}, with_settings(workspace, job_retries=2)).status == "failed" and len(list_runs(workspace, "wrong")) == 1   # no use


def untouched(workspace):
    with runs.open_store(workspace) as db: rows = db.execute("select count(*) from runs").fetchone()[0]
    return rows == 0 and not list(workspace.runs.glob("*"))


def test_wrong_input_ends_before_anything_is_written(workspace):
    (workspace.root / "empty").mkdir()
    write_job(workspace, "read", "docs: str = 'docs'  # folder [input]\nlimit: int = 8  # most [1..9]\nsource: str | None = None  # run [run: other]", "print(docs, limit, source)")
    for words, kind, told in [({"lmit": 3}, UsageError, "read: there is no parameter `lmit`. Did you mean 'limit'"), ({"limit": "10"}, UsageError, r"\[1..9\]"),
                              ({}, InputError, "docs, which does not exist"), ({"docs": "empty"}, InputError, "which is empty"),
                              ({"docs": "nbs", "source": "nope"}, UsageError, "no run 'nope'"), ({"docs": "nbs", "source": "latest"}, MissingError, "run other")]:
        with pytest.raises(kind, match=told): run_job("read", words, workspace)
    with pytest.raises(UsageError, match="Did you mean 'read'"): run_job("raed", {}, workspace)
    assert untouched(workspace)


def test_a_locked_tracking_database_stops_the_job_before_it_starts(workspace):
    write_job(workspace, "work", "n: int = 1  # n", "print(n)")
    holder = sqlite3.connect(workspace.state / "mlflow.db")
    holder.execute("begin exclusive")
    try:
        with pytest.raises(BusyError, match="locked"): run_job("work", {}, workspace)
    finally: holder.close()
    assert untouched(workspace)
    assert run_job("work", {}, workspace).status == "succeeded"


def test_a_tracking_store_that_fails_at_the_end_is_told_at_the_next_start(workspace, monkeypatch):
    write_job(workspace, "work", "n: int = 1  # n", "print(n)")
    with monkeypatch.context() as patch:
        patch.setattr(runner, "finish_run", lambda *a, **k: (_ for _ in ()).throw(OSError("no route")))
        first = run_job("work", {}, workspace)
    assert first.status == "succeeded" and mlflow_run(workspace, first.run_id)[0].info.status == "RUNNING"
    run_job("work", {"n": 2}, workspace)
    assert mlflow_run(workspace, first.run_id)[0].info.status == "FINISHED"


def test_an_error_in_the_viewer_cancels_the_job_and_is_raised(workspace):
    write_job(workspace, "nap", "seconds: int = 60  # to sleep", "import time; time.sleep(seconds)")
    def view(event):
        if event["event"] == "cell" and event["id"] == "c3": raise RuntimeError("the terminal is gone")
    with pytest.raises(RuntimeError, match="terminal is gone"): run_job("nap", {}, workspace, on_event=view)
    assert list_runs(workspace)[0]["status"] == "cancelled"


@pytest.mark.slow
def test_jobs_run_from_other_threads_than_the_main_one(workspace):
    write_job(workspace, "work", "n: int = 1  # n", RUN + "run.output('n', n)")
    results = []
    thread = threading.Thread(target=lambda: results.append(run_job("work", {}, workspace)))
    thread.start(); thread.join(60)
    assert [r.status for r in results] == ["succeeded"]


def test_a_run_that_is_not_needed_is_not_asked_for(workspace):
    (workspace.root / "rows.txt").write_text("x")
    write_job(workspace, "train", "dataset: str = 'latest'  # rows [run: prepare unless file]\nfile: str = ''  # own rows [input]", "print(dataset, file)")
    with pytest.raises(MissingError, match="genai-factory run prepare"): steps.plan_step("train", {}, workspace)
    plan = steps.plan_step("train", {"file": "rows.txt"}, workspace)
    assert plan.parameters == {"dataset": "", "file": "rows.txt"} and plan.inputs == {} and set(plan.fingerprints) == {"file"}


def test_a_broken_notebook_is_listed_with_its_error(workspace):
    write_job(workspace, "good", "n: int = 1  # n", "print(n)")
    write_job(workspace, "bad", "n = 1", "print(n)")
    listed = {job["name"]: job for job in list_jobs(workspace)}
    assert listed["good"]["error"] == "" and "write `name: type = value" in listed["bad"]["error"]
    assert json.loads(json.dumps(list_runs(workspace))) == []


def test_the_store_refuses_a_newer_file_and_names_a_damaged_one(workspace):
    with runs.open_store(workspace): pass
    with sqlite3.connect(workspace.jobs_db) as db: db.execute("pragma user_version = 99")
    with pytest.raises(UsageError, match="newer release"): list_runs(workspace)
    for file in workspace.state.glob("jobs.db*"): file.unlink()
    workspace.jobs_db.write_text("this is no database at all" * 100)
    with pytest.raises(DamagedError, match="Move it away"): list_runs(workspace)


def test_an_older_store_is_copied_and_lifted(workspace, monkeypatch):
    runs.add_run(workspace, "old")
    monkeypatch.setattr(runs, "_MIGRATIONS", [*runs._MIGRATIONS, "alter table runs add column colour text default 'blue'"])
    assert list_runs(workspace)[0]["colour"] == "blue"
    with sqlite3.connect(workspace.state / "jobs.v1.bak") as db: assert db.execute("select job from runs").fetchall() == [("old",)]


def test_an_index_is_looked_at_where_it_lies(workspace):
    from genai_factory.core.files import write_manifest
    from genai_factory.rag.generations import generation_folder
    folder = workspace.index("handbook")
    for number in (1, 2):
        generation_folder(folder, number).mkdir(parents=True)
        (generation_folder(folder, number) / "index.db").write_text(f"content {number}")
        write_manifest(generation_folder(folder, number))
    run_id = runs.add_run(workspace, "ingest", status="succeeded")
    (workspace.runs / run_id).mkdir(parents=True)
    outputs = {"index": {"value": {"name": "handbook", "generation": 1, "fingerprint": "one"}}}
    (workspace.runs / run_id / "outputs.json").write_text(json.dumps(outputs))
    runs.update_run(workspace, run_id, outputs_key=steps.outputs_fingerprint(outputs))
    wrong = lambda **words: steps.damage(get_run(workspace, run_id), workspace, **words)
    (folder / "CURRENT").write_text("1 one")
    assert (wrong(), wrong(serving=True)) == ("", "")
    (folder / "CURRENT").write_text("2 two")                                # to read from: still there; as a result of ingest: replaced
    assert wrong() == "" and "serves another content" in wrong(serving=True)
    (generation_folder(folder, 1) / "index.db").write_text("cut")
    assert "is not whole" in wrong()


def test_code_is_followed_through_the_imports(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "a.py").write_text("from . import b\nTABLE = {'x': 'lib.d:f'}\n")
    (tmp_path / "lib" / "b.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lib import d\ndef f():\n    from .c import x\n")
    for name in "cde": (tmp_path / "lib" / f"{name}.py").write_text("x = 1\n")
    before = steps.code_of(["%load_ext x\nfrom lib.a import TABLE"], tmp_path)
    assert set(before) == {"lib", "lib.a", "lib.b", "lib.c"}
    (tmp_path / "lib" / "d.py").write_text("x = 2\n")
    assert steps.code_of(["import lib.a"], tmp_path) == before
    (tmp_path / "lib" / "c.py").write_text("x = 22\n")
    assert steps.code_of(["import lib.a"], tmp_path) != before
