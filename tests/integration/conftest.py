"""A scratch workspace for tests that run jobs."""

import shutil

import pytest

from genai_factory.core.settings import Settings, Workspace


@pytest.fixture(scope="session")
def tracking_template(tmp_path_factory):
    "An MLflow database that is made once: making one takes seconds"
    from genai_factory.core.tracking import experiment_id, mlflow_client
    first = Workspace(tmp_path_factory.mktemp("tracking"))
    experiment_id(mlflow_client(first), first)
    return first.state / "mlflow.db"


@pytest.fixture
def workspace(tmp_path, tracking_template):
    "An empty workspace with a tracking store"
    made = Workspace(tmp_path, settings=Settings(threads=1, job_timeout_s=60)).prepare()
    shutil.copy(tracking_template, made.state / "mlflow.db")
    return made
