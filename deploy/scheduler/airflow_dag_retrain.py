"""Retrains every night at 02:30, as an Airflow 3 DAG: one task that starts the command a person would type.

The flow skips what did not change, goes on from the last checkpoint after a kill, and never puts a release in service that its gate did not promote;
so a retry is safe and a schedule that is missed needs no catching up. `GENAI_FACTORY_WORKSPACE` on the worker names the workspace.
"""

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="genai_factory_retrain",
    description="Retrain, measure and, where the gate says so, release the assistant",
    schedule="30 2 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=2)},
    tags=["genai-factory"],
):
    BashOperator(task_id="retrain", bash_command="genai-factory flow retrain", append_env=True)
