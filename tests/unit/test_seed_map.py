"""Every component by its original name has a home here: `seed_map.csv` names it, and this holds the homes to exist."""

import csv
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
with (Path(__file__).parent / "seed_map.csv").open(encoding="utf-8", newline="") as file: ROWS = {r["component"]: r["home"] for r in csv.DictReader(file)}

# Homes that nobody has built yet. This list only shrinks: a row that is built must leave it.
NOT_BUILT = set("""
    atomic/evaluators/safety_eval
    atomic/evaluators/coherence_eval
    assistant/pipelines/conversation_pipeline
    assistant/pipelines/orchestration_pipeline
    assistant/pipelines/safety_pipeline
    assistant/services/memory_service
    assistant/services/tool_service
    assistant/schemas/tool_schema
    assistant/evaluators/safety_eval
    assistant/monitoring/latency_monitor
    assistant/monitoring/cost_monitor
    assistant/monitoring/drift_monitor
    assistant/monitoring/healthcheck
    assistant/logging/interaction_logger
    assistant/logging/audit_logger
    assistant/logging/telemetry_logger
    assistant/tests/test_conversation_pipeline
    assistant/tests/test_tools_integration
    assistant/tests/test_eval_safety
    assistant/tests/test_monitoring
    assistant/tests/test_logging
    infra/k8s/deployments/trainer-job
    infra/k8s/deployments/rag-worker
    infra/k8s/services/redis-service
    infra/k8s/configmaps/assistant-configmap
    infra/k8s/configmaps/logging-configmap
    infra/k8s/secrets/api-keys-secret
    infra/k8s/secrets/db-credentials-secret
    infra/k8s/ingress/assistant-ingress
    infra/monitoring/prometheus
    infra/monitoring/grafana-dashboards
    infra/monitoring/alertmanager
    infra/logging/fluentd-config
    infra/logging/opentelemetry-collector
    infra/logging/loki-config
    infra/cicd/github-actions
    infra/cicd/gitlab-ci
    infra/cicd/build_test_deploy
    infra/storage/s3_bucket_config
    infra/storage/vector_db_config
    infra/tests/test_monitoring_setup
""".split())


def stands(home: str) -> bool:
    "True when the named object can be imported, or the named file is there with something in it"
    if ":" not in home: return (ROOT / home).is_file() and (ROOT / home).stat().st_size > 0
    module, name = home.split(":")
    try: found = importlib.util.find_spec(module)
    except ModuleNotFoundError: return False  # the package above it is not there either
    return found is not None and hasattr(importlib.import_module(module), name)  # a module that is there and broken raises


@pytest.mark.parametrize("component", sorted(set(ROWS) - NOT_BUILT))
def test_the_home_stands(component): assert stands(ROWS[component]), f"{component} should be at {ROWS[component]}"


def test_the_list_of_missing_homes_only_shrinks():
    assert NOT_BUILT <= set(ROWS), f"not in seed_map.csv: {NOT_BUILT - set(ROWS)}"
    built = sorted(c for c in NOT_BUILT if stands(ROWS[c]))
    assert not built, f"built by now, take them off NOT_BUILT: {built}"


def test_a_home_that_is_not_there_is_seen():
    assert not stands("genai_factory.nowhere:thing") and not stands("genai_factory.nowhere.deeper:thing")
    assert not stands("genai_factory.core.base:NoSuchName") and not stands("deploy/nowhere.yaml")
    assert stands("genai_factory:__version__") and stands("tests/unit/seed_map.csv")
