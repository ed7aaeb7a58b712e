"""The command line as a person meets it: exit codes, one-paragraph errors, JSON beside every table. Jobs are real notebooks, run by the real runner."""
from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys

import nbformat
import pytest

from genai_factory import cli
from genai_factory.app.doctor import check_database
from genai_factory.app.report import print_scores, summarise
from genai_factory.core.settings import Workspace
from genai_factory.ops.runner import JobResult
from genai_factory.ops.runs import list_runs
from tests.integration.standin import until

PROGRAM = [sys.executable, "-c", "from genai_factory.cli import main; main()"]


@pytest.fixture
def workspace(tmp_path, tracking_template):
    "A folder with one quick job of its own, and a tracking store."
    (tmp_path / ".genai_factory").mkdir()
    shutil.copy(tracking_template, tmp_path / ".genai_factory" / "mlflow.db")
    jobs = tmp_path / "nbs" / "jobs"
    jobs.mkdir(parents=True)
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "python3"}})
    book.cells = [nbformat.v4.new_markdown_cell("# Greet\n\n> Says hello."),
                  nbformat.v4.new_code_cell("name: str = 'you'   # whom to greet\ntimes: int = 2      # how often [1..5]", metadata={"tags": ["parameters"]}),
                  nbformat.v4.new_markdown_cell("## Speak"),
                  nbformat.v4.new_code_cell("assert name != 'nobody', 'nobody is there'\nprint('hello ' * times + name)")]
    nbformat.write(book, jobs / "greet.ipynb")
    return tmp_path


@pytest.fixture
def type_in(workspace, monkeypatch, capsys):
    "Type a command line; gives exit code, standard output and standard error."
    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["genai-factory", "--workspace", str(workspace), *map(str, words)])
        capsys.readouterr()
        try: cli.main()
        except SystemExit as end: code = end.code or 0
        else: code = 0
        return code, *capsys.readouterr()
    return typed


def one_paragraph(text):
    "Not a traceback, not a wall."
    text = text.strip()
    return "Traceback" not in text and "\n\n" not in text and text.startswith("genai-factory: ")


def test_help_and_version(type_in):
    code, out, _ = type_in("--help")
    assert code == 0 and all(f"\n  {name} " in out for name in "demo ask ingest jobs run flow runs models serve doctor".split())
    assert type_in("--version")[1].startswith("genai-factory 0.")


@pytest.mark.parametrize("words", [["run"], ["nonsense"], ["serve", "--port", "99999"], ["runs", "--limit", "x"]])
def test_usage_errors_exit_2(type_in, words): assert type_in(*words)[0] == 2


def test_the_programs_options_work_behind_the_command_too(workspace, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["genai-factory", "jobs", "--json", f"--workspace={workspace}"])
    with pytest.raises(SystemExit): cli.main()
    assert "greet" in [job["name"] for job in json.loads(capsys.readouterr().out)]


def test_jobs_and_the_parameters_of_one(type_in):
    code, out, _ = type_in("jobs")
    assert code == 0 and "greet" in out and "Says hello." in out
    for words in (["jobs", "greet"], ["run", "greet", "--help-job"]):
        code, out, _ = type_in(*words)
        assert code == 0 and "whom to greet" in out and "1..5" in out
    assert json.loads(type_in("jobs", "greet", "--json")[1])["parameters"]["properties"]["times"]["default"] == 2


@pytest.mark.parametrize("words, said", [
    (["run", "gret"], "Did you mean 'greet'?"),
    (["jobs", "gret"], "Did you mean 'greet'?"),
    (["run", "greet", "-p", "nam=x"], "Did you mean 'name'?"),
    (["run", "greet", "-p", "times=often"], "times"),
    (["run", "greet", "-p", "times=9"], "5"),
    (["run", "greet", "-p", "times"], "-p name=value"),
    (["flow", "retrian"], "Did you mean 'retrain'?"),
    (["flow", "retrain", "-p", "steps=5"], "-p job.steps=value"),
    (["flow", "retrain", "-p", "stf.steps=5"], "Did you mean 'sft'?"),
    (["ingest", "no/such/folder"], "no/such/folder does not exist"),
    (["ask", " "], "question is empty"),
    (["runs", "nothing-like-it"], "no run 'nothing-like-it'"),
    (["jobs", "--profile", "moon"], "profile [moon]"),
])
def test_wrong_arguments_start_nothing(type_in, workspace, words, said):
    code, out, err = type_in(*words)
    assert code == 2 and said in err and one_paragraph(err), (code, out, err)
    assert not list((workspace / ".genai_factory").glob("runs/*"))


def test_a_run_is_listed_skipped_shown_and_forced(type_in):
    code, out, err = type_in("run", "greet", "-p", "name=Ann", "--json")
    first = json.loads(out)
    assert code == 0 and first["status"] == "succeeded" and first["run_id"], err
    assert json.loads(type_in("run", "greet", "-p", "name=Ann", "--json")[1])["status"] == "unchanged"
    listed = json.loads(type_in("runs", "--json")[1])
    assert {run["status"] for run in listed} == {"succeeded", "unchanged"}
    code, out, _ = type_in("runs", first["run_id"])
    assert code == 0 and str(first["folder"]) in out and "Ann" in out
    assert first["run_id"] in type_in("runs")[1]


def test_a_failed_job_says_what_where_and_exits_1(type_in):
    code, out, err = type_in("run", "greet", "-p", "name=nobody")
    assert code == 1 and "nobody is there" in err and "Speak" in err and "log.txt" in err
    assert "Traceback" not in err and "failed" in type_in("runs")[1]


def test_a_demo_that_fails_says_where_and_writes_what_it_knows(type_in, workspace):
    book = nbformat.read(workspace / "nbs/jobs/greet.ipynb", 4)
    book.cells[-1].source = "raise RuntimeError(f'the shelf is empty {name} {times}')"
    nbformat.write(book, workspace / "nbs/jobs/ingest.ipynb")                # the workspace's own job of that name wins
    code, out, err = type_in("demo", "--no-serve", "--json", workspace / "demo.json")
    told = json.loads((workspace / "demo.json").read_text())
    assert code == 1 and "the shelf is empty" in err and "log.txt" in err and "Traceback" not in err
    assert [(job["name"], job["status"]) for job in told["jobs"]] == [("ingest", "failed"), *((name, "queued") for name in ("prepare", "sft", "align", "evaluate", "release"))]
    assert set(told["jobs"][0]) == {"name", "status", "seconds", "run_id"} and told["scores"] == {} and told["verdict"] is None
    assert "failed" in out and "Verdict" not in out


def test_a_flows_summary_is_what_its_jobs_declared(tmp_path, capsys):
    figure = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 40}
    (tmp_path / "scores.json").write_text(json.dumps({"baseline": {"natural": {"exact_match": {**figure, "unit": "share"}}}}))
    results = [JobResult("evaluate", "succeeded", 3.5, "r1", outputs={"results": tmp_path}), JobResult("release", "unchanged", 0, "r2", outputs={"verdict": "promote"})]
    told = summarise(results)
    assert told["jobs"][0] == {"name": "evaluate", "status": "succeeded", "seconds": 3.5, "run_id": "r1"}
    assert told["scores"]["baseline"]["natural"]["exact_match"] == figure and told["verdict"] == "promote"
    print_scores(told["scores"])
    assert "90.0 % [80.0, 100.0]" in capsys.readouterr().out


def test_nothing_made_yet(type_in, workspace):
    shutil.rmtree(workspace / ".genai_factory")
    assert "No runs yet" in type_in("runs")[1]
    code, out, _ = type_in("models")
    assert code == 0 and "extractive baseline answers" in out and json.loads(type_in("models", "--json")[1]) == []
    code, _, err = type_in("ask", "What does early repayment cost?")
    assert code == 1 and one_paragraph(err) and "genai-factory" in err.split(":", 1)[1]       # says which command makes an index


def test_an_empty_folder(type_in, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = type_in("ingest", tmp_path / "empty")
    assert code == 1 and one_paragraph(err) and "empty" in err


def test_an_index_of_ones_own_can_be_asked(type_in, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "garden.md").write_text("# Garden\n\nThe tomatoes were planted on the third of May. The pond is two metres deep.\n")
    assert type_in("ingest", str(tmp_path / "notes"), "--index", "garden")[0] == 0
    code, out, _ = type_in("ask", "How deep is the pond?", "--index", "garden")
    assert code == 0 and "two metres deep" in out and "garden.md" in out
    code, _, err = type_in("ask", "How deep is the pond?", "--index", "gardn")
    assert code == 1 and "There is no index 'gardn'" in err


def test_a_port_in_use_is_said_before_anything_runs(type_in, workspace):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        for command in ("serve", "demo"):
            code, _, err = type_in(command, "--port", other.getsockname()[1])
            assert code == 1 and "--port" in err and one_paragraph(err)
    assert not list((workspace / ".genai_factory").glob("runs/*"))


def test_a_workspace_that_is_not_there_or_cannot_be_written(type_in, workspace, monkeypatch):
    code, _, err = type_in("--workspace", workspace / "nowhere", "runs")
    assert code == 1 and "does not exist" in err and one_paragraph(err)
    shutil.rmtree(workspace / ".genai_factory")
    (workspace / ".genai_factory").write_text("a file where the folder should be")   # root may write everywhere: this it cannot
    code, _, err = type_in("run", "greet")
    assert code == 1 and one_paragraph(err) and "--workspace" in err
    code, out, _ = type_in("doctor")
    assert code == 1 and "fail" in out


def test_a_locked_tracking_store_is_said(type_in, workspace):
    holder = sqlite3.connect(workspace / ".genai_factory" / "mlflow.db", isolation_level=None)
    holder.execute("begin exclusive")
    try:
        assert check_database("tracking store", workspace / ".genai_factory" / "mlflow.db").status == "fail"
        code, _, err = type_in("models")
        assert code == 1 and "locked" in err and one_paragraph(err)
    finally: holder.close()


def test_the_doctor(type_in):
    code, out, _ = type_in("doctor")
    assert code == 0 and "embedding model" in out and "none yet" in out
    assert {"ok", "warn"} >= {finding["status"] for finding in json.loads(type_in("doctor", "--json")[1])}


def test_interrupting_a_run_is_130_and_leaves_no_process(workspace):
    book = nbformat.read(workspace / "nbs/jobs/greet.ipynb", 4)
    book.cells[-1].source = "import time; time.sleep(600 * len(name) * times)"
    nbformat.write(book, workspace / "nbs/jobs/sleep.ipynb")
    process = subprocess.Popen([*PROGRAM, "--workspace", workspace, "run", "sleep"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "COLUMNS": "200"}, start_new_session=True)
    until(lambda: process.poll() is not None or [run["cell_title"] for run in list_runs(Workspace(workspace))] == ["Speak"], 60)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert [run["status"] for run in list_runs(Workspace(workspace))] == ["cancelled"]
