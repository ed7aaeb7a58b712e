"""What the deployment files say, and what is wrong with it: checks across files that no schema makes."""

import json
import re
import shlex
from pathlib import Path

import genai_factory
import typer
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted([*DEPLOY.glob("k8s/*/*.yaml"), DEPLOY / "scheduler/cron_retrain.yaml"])
COMPOSE = DEPLOY / "docker/docker-compose.yml"


def command_problem(words: list[str]) -> str | None:
    "What the real command line says against these words, without running them; None when it takes them"
    from genai_factory.cli import app
    from genai_factory.ops.flow import flow_jobs
    commands = typer.main.get_command(app).commands
    if words[0] != "genai-factory": return f"{words[0]} is not our command"
    if len(words) < 2 or words[1] not in commands: return f"no command {words[1:2]}"
    try:
        commands[words[1]].make_context(words[1], list(words[2:]))
        if words[1] == "flow": flow_jobs(words[2])
    except Exception as error: return str(error)  # typer carries its own copy of click, whose errors have no public name
    return None


def environment_problems(names: list[str]) -> list[str]:
    "Variables that look like ours and that nothing reads"
    from genai_factory.core.settings import Settings
    ours = {f"GENAI_FACTORY_{key.upper()}" for key in [*Settings.model_fields, "workspace", "profile"]}
    return [f"nothing reads {name}" for name in names if name.startswith("GENAI_FACTORY_") and name not in ours]


def dockerfile(text: str) -> list[tuple[str, str]]:
    "Instructions of a Dockerfile as (name, rest), continuation lines joined, comments left out"
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def last(instructions: list[tuple[str, str]], name: str) -> str:
    "The rest of the last instruction of that name"
    return [rest for instruction, rest in instructions if instruction == name][-1]


def image_names() -> dict[str, tuple[str, str]]:
    "Image name → (Dockerfile, version), as compose builds them"
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return {s["image"].rsplit(":", 1)[0]: (s["build"]["dockerfile"], s["image"].rsplit(":", 1)[1]) for s in services.values() if "build" in s}


def pod_specs(documents: list[dict]):
    "(name, labels, pod specification) of everything that makes pods"
    for d in documents:
        spec = d["spec"]["jobTemplate"]["spec"] if d["kind"] == "CronJob" else d["spec"]
        if "template" in spec: yield d["metadata"]["name"], spec["template"]["metadata"]["labels"], spec["template"]["spec"]


def container_problems(name: str, pod: dict, container: dict) -> list[str]:
    "What is wrong inside one container: command, image, ports, probes, mounts, variables"
    found = environment_problems([e["name"] for e in container.get("env", [])])
    words = container["command"] + container["args"]
    if problem := command_problem(words): found.append(f"{name}: {shlex.join(words)}: {problem}")
    image, _, version = container["image"].partition(":")
    if image not in image_names(): found.append(f"{name}: no Dockerfile makes {image}")
    if version != genai_factory.__version__: found.append(f"{name}: image version {version!r} is not {genai_factory.__version__}")
    ports = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
    if "--port" in words and words[words.index("--port") + 1] not in map(str, ports.values()): found.append(f"{name}: listens on a port that is not declared")
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items() if ports else ():
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("port") not in {*ports, *ports.values()} or asked.get("path") != path: found.append(f"{name}: {probe} asks {asked}")
    volumes = {v["name"] for v in pod.get("volumes", [])}
    found += [f"{name}: mounts {m['name']}, which is no volume" for m in container.get("volumeMounts", []) if m["name"] not in volumes]
    if not container["securityContext"]["readOnlyRootFilesystem"] or not pod["securityContext"]["runAsNonRoot"]: found.append(f"{name}: runs with too many rights")
    return found


def manifest_problems(documents: list[dict]) -> list[str]:
    "What does not fit together between the manifests: selectors, ports, claims, configmaps, secrets, commands, images"
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    pods, found = list(pod_specs(documents)), []
    if len(names) < len(documents): found.append("two resources of one kind share a name")
    for name, _, pod in pods:
        for container in pod["containers"]: found += container_problems(name, pod, container)
        for kind, wanted in re.findall(r'"(claimName|configMapRef|configMapKeyRef|secretRef|secretKeyRef|configMap|secret)": (?:"|{[^}]*?"name": ")([^"]+)', json.dumps(pod)):
            kind = {"claimName": "PersistentVolumeClaim"}.get(kind, "ConfigMap" if "config" in kind else "Secret")
            if (kind, wanted) not in names: found.append(f"{name}: there is no {kind} {wanted}")
        for term in re.findall(r'"matchLabels": ({[^}]*})', json.dumps(pod)):
            if not any(json.loads(term).items() <= labels.items() for _, labels, _ in pods): found.append(f"{name}: affinity to no pod: {term}")
    for d in documents:
        if d["kind"] == "Deployment" and not d["spec"]["selector"]["matchLabels"].items() <= d["spec"]["template"]["metadata"]["labels"].items():
            found.append(f"{d['metadata']['name']}: its selector does not match its own pods")
        if d["kind"] == "Service":
            chosen = [pod for _, labels, pod in pods if d["spec"]["selector"].items() <= labels.items()]
            open_ports = {p for pod in chosen for c in pod["containers"] for port in c.get("ports", []) for p in (port["name"], port["containerPort"])}
            if len(chosen) != 1: found.append(f"service {d['metadata']['name']} selects {len(chosen)} workloads")
            found += [f"service {d['metadata']['name']} leads to a closed port {p['targetPort']}" for p in d["spec"]["ports"] if p["targetPort"] not in open_ports]
    return found


def documents(files=MANIFESTS) -> list[dict]:
    "All resources in these manifests"
    return [d for file in files for d in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")) if d]
