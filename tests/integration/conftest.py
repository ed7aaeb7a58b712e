"""A scratch workspace for tests that run jobs, and a Redis server."""

import shutil
import socket
import subprocess
import time
from contextlib import closing

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


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    "A real server on a free port, and the folder of its files"
    program = shutil.which("redis-server") or pytest.skip("redis-server is missing; install it: apt-get install redis-server")
    folder = tmp_path_factory.mktemp("redis")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    from genai_factory.core.base import UnavailableError
    from genai_factory.stores import RedisStore
    for _ in range(200):
        try: RedisStore(url).version("a", "b")
        except UnavailableError: time.sleep(0.05)
        else: break
    yield url, folder
    server.terminate()
    server.wait(10)


@pytest.fixture
def redis_url(redis_server):
    "An empty server"
    import redis
    with closing(redis.Redis.from_url(redis_server[0])) as client: client.flushall()
    return redis_server[0]
