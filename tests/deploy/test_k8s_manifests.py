"""The Kubernetes manifests: valid by the real validator, and fitting together, with each kind of misfit seen."""

import subprocess

import kubernetes_validate
import pytest
import yaml
from tests.deploy.files import DEPLOY, MANIFESTS, ROOT, documents, manifest_problems

TEXT = {p.relative_to(DEPLOY).as_posix(): p.read_text(encoding="utf-8") for p in MANIFESTS}
ASSISTANT, SERVICE, CRON = "k8s/deployments/assistant-deployment.yaml", "k8s/services/assistant-service.yaml", "scheduler/cron_retrain.yaml"


def test_the_manifests_are_valid(tool):
    done = subprocess.run([tool("kubernetes-validate", "pip install kubernetes-validate"), "--strict", *MANIFESTS], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("passed") + done.stderr.count("passed") == len(documents()), done.stdout + done.stderr


@pytest.mark.parametrize("file, old, new", [
    (ASSISTANT, "replicas: 1", "replicas: one"), (ASSISTANT, "containerPort:", "containerport:"),
    (SERVICE, "targetPort", "targetport"), (CRON, "concurrencyPolicy", "concurencyPolicy"), (CRON, "backoffLimit: 2", "backoffLimit: two")])
def test_an_invalid_manifest_is_seen(file, old, new):
    assert old in TEXT[file]
    with pytest.raises(kubernetes_validate.ValidationError):
        for resource in yaml.safe_load_all(TEXT[file].replace(old, new)): kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_the_manifests_fit_together(): assert manifest_problems(documents()) == []


@pytest.mark.parametrize("file, old, new, seen", [
    (ASSISTANT, "matchLabels: {app.kubernetes.io/name: assistant}", "matchLabels: {app.kubernetes.io/name: helper}", "selector does not match"),
    (ASSISTANT, '"serve"', '"server"', "no command"), (ASSISTANT, '"--host"', '"--hosts"', "No such option"),
    (ASSISTANT, '"--port", "7860"', '"--port", "http"', "valid integer"), (ASSISTANT, '"--port", "7860"', '"--port", "7861"', "not declared"),
    (ASSISTANT, "path: /readyz", "path: /ready", "readinessProbe"), (ASSISTANT, "port: http}\n            periodSeconds: 20", "port: web}\n            periodSeconds: 20", "livenessProbe"),
    (ASSISTANT, "claimName: assistant-state", "claimName: state", "no PersistentVolumeClaim state"),
    (ASSISTANT, "name: tmp\n              mountPath", "name: temp\n              mountPath", "mounts temp"),
    (ASSISTANT, "image: genai-factory/assistant:", "image: genai-factory/assist:", "no Dockerfile makes"),
    (ASSISTANT, ":0.1.0", ":0.0.9", "image version"), (ASSISTANT, "GENAI_FACTORY_PROFILE", "GENAI_FACTORY_PROFIL", "nothing reads"),
    (ASSISTANT, "          env:\n", "          envFrom:\n            - configMapRef: {name: assistant-config}\n          env:\n", "no ConfigMap assistant-config"),
    (ASSISTANT, "          env:\n", "          env:\n            - name: KEY\n              valueFrom: {secretKeyRef: {name: api-keys, key: k}}\n", "no Secret api-keys"),
    (ASSISTANT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "too many rights"),
    (SERVICE, "selector: {app.kubernetes.io/name: assistant}", "selector: {app.kubernetes.io/name: assist}", "selects 0"),
    (SERVICE, "selector: {app.kubernetes.io/name: assistant}", "selector: {app.kubernetes.io/part-of: genai-factory}", "selects 2"),
    (SERVICE, "targetPort: http", "targetPort: web", "closed port"),
    (CRON, '"retrain"]', '"retrains"]', "retrains"), (CRON, "claimName: assistant-state", "claimName: assistent-state", "no PersistentVolumeClaim"),
    (CRON, "matchLabels: {app.kubernetes.io/name: assistant}", "matchLabels: {app.kubernetes.io/name: helper}", "affinity to no pod"),
])
def test_a_misfit_is_seen(file, old, new, seen):
    assert old in TEXT[file]
    changed = TEXT | {file: TEXT[file].replace(old, new)}
    found = manifest_problems([d for text in changed.values() for d in yaml.safe_load_all(text) if d])
    assert any(seen in problem for problem in found), found


def test_one_run_of_the_flow_at_a_time(): assert next(d for d in documents() if d["kind"] == "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_guide_names_files_that_are_there():
    import re
    named = re.findall(r"`((?:docker|k8s|scheduler)/[\w./-]+)`", (DEPLOY / "README.md").read_text(encoding="utf-8"))
    assert len(named) >= 7 and not [n for n in named if not (DEPLOY / n).is_file()]
    there = {p.relative_to(DEPLOY).as_posix() for p in DEPLOY.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.name != "README.md"}
    assert there <= set(named), f"the guide does not name {there - set(named)}"
    assert all((ROOT / p).exists() for p in re.findall(r"-f (deploy/[\w/.-]+)", (DEPLOY / "README.md").read_text(encoding="utf-8")))
