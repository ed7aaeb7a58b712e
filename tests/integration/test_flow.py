"""Several jobs: their order, what one change runs again, what a failure stops, and what a person sees."""

import io

import pytest
from jobkit import RUN, write_job

from genai_factory.core.base import UsageError
from genai_factory.ops import flow
from genai_factory.ops.flow import FlowView, flow_jobs, order_jobs, run_flow
from genai_factory.ops.runner import JobResult, list_runs, run_job


@pytest.fixture
def small(workspace, monkeypatch):
    "The shape of `retrain` in small: documents and questions are read by different jobs, evaluate reads both branches"
    for name in ("docs", "qa"):
        (workspace.root / name).mkdir()
        (workspace.root / name / "a.txt").write_text(name)
    write_job(workspace, "ingest", "docs: str = 'docs'  # documents [input]", RUN + "from pathlib import Path", "run.output('text', (Path(docs) / 'a.txt').read_text())")
    write_job(workspace, "sft", "qa: str = 'qa'  # questions [input]\nsteps: int = 5  # steps [1..9]", RUN + "from pathlib import Path",
              "if (Path(qa) / 'a.txt').read_text() == 'bad': raise ValueError('bad rows')\nrun.output('model', steps)")
    write_job(workspace, "evaluate", "index: str = 'latest'  # index [run: ingest]\nmodel: str = 'latest'  # model [run: sft]", RUN, "index, model",
              "run.output('scores', [run.input('ingest', 'text'), run.input('sft', 'model')])")
    monkeypatch.setitem(flow.FLOWS, "small", flow.Flow(("evaluate", "sft", "ingest"), {"sft": {"steps": 3}}))
    return workspace


def states(results): return {result.name: result.status for result in results}


def test_a_flow_runs_what_changed_and_says_what_did_not(small):
    events = []
    results = run_flow("small", small, on_event=events.append)
    assert [r.name for r in results] == ["sft", "ingest", "evaluate"] and all(r.status == "succeeded" for r in results)
    assert results[-1].outputs == {"scores": ["docs", 3]} and events[0] == {"event": "flow", "flow": "small", "jobs": ["sft", "ingest", "evaluate"], "threads": 1}
    assert states(run_flow("small", small)) == dict.fromkeys(("sft", "ingest", "evaluate"), "unchanged")
    (small.root / "docs" / "a.txt").write_text("new")
    assert states(run_flow("small", small)) == {"sft": "unchanged", "ingest": "succeeded", "evaluate": "succeeded"}
    changed = run_flow("small", small, {"sft": {"steps": "4"}})
    assert states(changed) == {"sft": "succeeded", "ingest": "unchanged", "evaluate": "succeeded"} and changed[-1].outputs == {"scores": ["new", 4]}
    def meanwhile(event):                                              # somebody else trains while the flow is at ingest
        if event["event"] == "end" and event["job"] == "ingest": assert run_job("sft", {"steps": 5}, small).status == "succeeded"
    back = run_flow("small", small, on_event=meanwhile)                # reads the run it found, not the newest one of sft
    assert states(back) == dict.fromkeys(("sft", "ingest", "evaluate"), "unchanged") and back[-1].outputs == {"scores": ["new", 3]}


def test_a_failure_stops_the_flow_and_the_rest_stays_queued(small):
    (small.root / "qa" / "a.txt").write_text("bad")
    results = run_flow("small", small)
    assert states(results) == {"sft": "failed", "ingest": "queued", "evaluate": "queued"}
    assert "not started, because sft failed" in results[-1].message and "bad rows" in results[-1].message and results[-1].run_id == ""
    assert {r["job"] for r in list_runs(small)} == {"sft"}


def test_every_parameter_is_checked_before_the_first_job(small):
    for given, told in [({"evaluat": {}}, "Did you mean 'evaluate'"), ({"evaluate": {"modell": "x"}}, "Did you mean 'model'"), ({"sft": {"steps": 10}}, r"\[1..9\]")]:
        with pytest.raises(UsageError, match=told): run_flow("small", small, given)
    with pytest.raises(UsageError, match="Did you mean 'retrain'"): flow_jobs("retran")
    assert list_runs(small) == []


def test_jobs_that_wait_for_each_other_are_refused(workspace):
    write_job(workspace, "a", "b: str = 'latest'  # of b [run: b]", "b")
    write_job(workspace, "b", "a: str = 'latest'  # of a [run: a]", "a")
    with pytest.raises(UsageError, match="wait for each other"): order_jobs(["a", "b"], workspace)


def test_a_scratch_flow_leaves_the_workspace_alone(small, monkeypatch):
    (small.root / "data").mkdir()
    (small.root / "data" / "rows.txt").write_text("x")
    write_job(small, "count", "rows: str = 'data/rows.txt'  # rows [input]", RUN + "from pathlib import Path", "run.output('n', len(Path(rows).read_text()))")
    monkeypatch.setitem(flow.FLOWS, "try", flow.Flow(("count",), scratch=True))
    before = {p: p.stat().st_mtime_ns for p in small.state.rglob("*")}
    result = run_flow("try", small)[0]
    assert result.status == "succeeded" and small.root not in result.folder.parents and (result.folder.parents[1] / "mlflow.db").exists()
    assert {p: p.stat().st_mtime_ns for p in small.state.rglob("*")} == before


EVENTS = [{"event": "start", "job": "sft", "run_id": "r1", "resumed_from": "", "threads": 2}, {"event": "cell", "job": "sft", "title": "Training"},
          {"event": "cell", "job": "sft", "title": "Training"}, {"event": "tick", "job": "sft", "seconds": 1.0}, {"event": "progress", "job": "sft", "done": 1, "total": 4, "text": "loss 2"},
          {"event": "progress", "job": "sft", "done": 2, "total": 4, "text": "loss 1"}, {"event": "end", "job": "sft", "result": JobResult("sft", "succeeded", 2.5)},
          {"event": "end", "job": "align", "result": JobResult("align", "unchanged", run_id="r0")}]


def test_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    with FlowView(["sft", "align"], stream=out) as view:
        for event in EVENTS: view(event)
    assert [line.split(None, 1)[1] for line in out.getvalue().splitlines()] == ["started: run r1, threads 2", "Training", "Training: 1 of 4 loss 2", "succeeded after 2.5 s", "unchanged: as in r0"]


def test_a_live_table_in_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = io.StringIO()
    out.isatty = lambda: True
    with FlowView(["sft", "align"], stream=out) as view:
        for event in EVENTS: view(event)
    last = out.getvalue().split("status")[-1]
    assert "succeeded" in last and "2.5" in last and "as in r0" in last
    with FlowView(["sft"], quiet=True, stream=(silent := io.StringIO())) as view: view(EVENTS[0])
    assert silent.getvalue() == ""
