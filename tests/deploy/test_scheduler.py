"""The Airflow DAG: it starts a real command on a real schedule, and Airflow itself takes it (in `make test-full`)."""

import ast
import os
import shlex
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from croniter import croniter
from tests.deploy.files import DEPLOY, command_problem, documents

DAG = DEPLOY / "scheduler/airflow_dag_retrain.py"
CRONJOB = next(d for d in documents() if d["kind"] == "CronJob")


def arguments(call: str) -> dict:
    "Literal keyword arguments of the only call of that name in the DAG"
    tree = ast.parse(DAG.read_text(encoding="utf-8"))
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == call]
    assert len(found) == 1
    return {k.arg: k.value.value for k in found[0].keywords if isinstance(k.value, ast.Constant)}


def test_it_starts_the_command_that_a_person_types():
    words = shlex.split(arguments("BashOperator")["bash_command"])
    container = CRONJOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert command_problem(words) is None and words == container["command"] + container["args"]


def test_a_wrong_command_is_seen():
    assert command_problem(["genai-factory", "flow"]) and command_problem(["genai-factory", "flow", "retrian"])
    assert command_problem(["genai-factory", "flows", "retrain"]) and command_problem(["genai", "flow", "retrain"])


def test_both_schedulers_start_at_the_same_time_once_a_day_and_never_twice():
    dag = arguments("DAG")
    assert dag["schedule"] == CRONJOB["spec"]["schedule"] and dag["max_active_runs"] == 1 and dag["catchup"] is False
    times = croniter(dag["schedule"], datetime(2026, 1, 1))
    first, second = times.get_next(datetime), times.get_next(datetime)
    assert (second - first).days == 1 and (first.hour, first.minute) == (2, 30)


@pytest.mark.slow
def test_airflow_loads_and_runs_it(tmp_path):
    "In an environment of its own, as Airflow pins half the world; its command is replaced by one that shows what the worker would start"
    python = os.environ.get("AIRFLOW_PYTHON", "")
    if not Path(python).is_file():
        pytest.skip("Airflow is not installed: python3 -m venv .airflow && .airflow/bin/pip install apache-airflow==3.3.2, then set AIRFLOW_PYTHON=.airflow/bin/python")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/retrain.py").write_text(DAG.read_text(encoding="utf-8"))
    program = tmp_path / "genai-factory"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/started\n")
    program.chmod(0o755)
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                                "PATH": f"{tmp_path}:{os.environ['PATH']}", "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False"}
    for words in (["db", "migrate"], ["dags", "test", "genai_factory_retrain"]):
        done = subprocess.run([python, "-m", "airflow", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "started").read_text() == "flow retrain\n"
