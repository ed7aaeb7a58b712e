"""A scratch workspace with small job notebooks, and a supervisor in a process of its own for tests that kill."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
from genai_factory.core.settings import Workspace


def write_job(workspace, name, parameters, *code, title="Body"):
    "A job notebook: heading, parameters cell, then one cell per text under the heading `title`"
    cells = [("markdown", f"# {name}", []), ("code", parameters, ["parameters"]), ("markdown", f"## {title}", []), *(("code", text, []) for text in code)]
    cells = [{"cell_type": kind, "id": f"c{i}", "metadata": {"tags": tags}, "source": text} | ({"outputs": [], "execution_count": None} if kind == "code" else {})
             for i, (kind, text, tags) in enumerate(cells)]
    folder = workspace.root / "nbs" / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


RUN = "from genai_factory.core.tracking import job_run\nrun = job_run()\n"


def with_settings(workspace, **changes): return Workspace(workspace.root, settings=workspace.settings.model_copy(update=changes))


def tree_of(supervisor):
    "A supervisor's processes: child, kernel, and what the kernel started"
    child = next(p for p in psutil.Process(supervisor).children() if "genai_factory.ops.child" in p.cmdline())
    kernel = next(p for p in child.children() if "ipykernel_launcher" in " ".join(p.cmdline()))
    return child, kernel, kernel.children()


class Supervisor:
    "run_job in a process of its own, so that it can be killed"
    def __init__(self, workspace, job, **settings):
        code = ("import json, sys; from pathlib import Path; from genai_factory.core.settings import Settings, Workspace; from genai_factory.ops.runner import run_job\n"
                "workspace = Workspace(Path(sys.argv[1]), settings=Settings(**json.loads(sys.argv[3])))\n"
                "print(json.dumps(run_job(sys.argv[2], None, workspace).as_dict()))")
        settings = {"threads": 1, "job_timeout_s": 60, **settings}
        self.workspace, self.job = workspace, job
        self.process = subprocess.Popen([sys.executable, "-c", code, str(workspace.root), job, json.dumps(settings)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, file):
        "Wait until the notebook has written `file`; the tree of processes as it stands then: child, kernel, others"
        deadline = time.monotonic() + 60
        while not Path(file).exists():
            if self.process.poll() is not None: raise AssertionError(self.process.stderr.read())
            assert time.monotonic() < deadline, "the job did not start"
            time.sleep(0.05)
        time.sleep(1.2)     # two looks of the supervisor
        return tree_of(self.process.pid)

    def result(self, timeout=60):
        out, err = self.process.communicate(timeout=timeout)
        assert out.strip(), err
        return json.loads(out.strip().splitlines()[-1])


def gone(*processes, within=10):
    "True when none of these processes is left"
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes if psutil.pid_exists(p.pid)): return True
        time.sleep(0.05)
    return False


def mlflow_run(workspace, run_id):
    "What MLflow knows of a run: the run, and the names of its artifacts"
    from genai_factory.core.tracking import mlflow_client
    from genai_factory.ops.runs import get_run
    client = mlflow_client(workspace)
    mlflow_id = get_run(workspace, run_id)["mlflow_id"]
    return client.get_run(mlflow_id), {item.path for item in client.list_artifacts(mlflow_id)}

