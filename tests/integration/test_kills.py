"""Every way to end a job by force, for real: afterwards no process is left, and the status says what happened."""

import json
import os
import signal
import threading
import time

import psutil
import pytest
from jobkit import RUN, Supervisor, gone, mlflow_run, tree_of, with_settings, write_job

from genai_factory.core.base import BusyError
from genai_factory.ops import runs
from genai_factory.ops.runner import get_run, list_runs, run_job
from genai_factory.ops.steps import find_unfinished, plan_step

NAP = """import subprocess, time
print('before the nap', flush=True)
others = [subprocess.Popen(['sleep', '300']), subprocess.Popen(['sleep', '300'], start_new_session=True)]
stray = subprocess.run(['sh', '-c', 'sleep 300 > /dev/null & echo $!'], start_new_session=True, stdout=subprocess.PIPE, text=True).stdout   # its parent is gone
(run.folder.parent.parent / 'stray').write_text(stray)
(run.folder.parent.parent / 'asleep').write_text(str(run.resume or ''))
time.sleep(seconds)"""


def no_stray(workspace):
    "True when the process that had detached itself from the tree is gone"
    try: return gone(psutil.Process(int((workspace.state / "stray").read_text())))
    except psutil.NoSuchProcess: return True


@pytest.fixture
def nap(workspace):
    "A job that starts three processes, one in a session of its own, one without a parent, and sleeps"
    write_job(workspace, "nap", "seconds: int = 300  # to sleep", RUN, NAP, title="A long nap")
    return workspace


def started(workspace, **settings):
    "A supervisor whose job sleeps; its child, kernel and the kernel's own processes"
    mark = workspace.state / "asleep"
    mark.unlink(missing_ok=True)
    supervisor = Supervisor(workspace, "nap", **settings)
    return supervisor, *supervisor.until(mark)


def check(workspace, result, status, *processes):
    "The status everywhere, the cell, the memory, and nothing left"
    assert (result["status"], result["cell"]) == (status, "A long nap"), result
    assert result["peak_rss_mb"] > 30 and "in “A long nap” (cell c4), peak memory" in result["message"]
    assert gone(*processes) and no_stray(workspace), [p for p in processes if p.is_running()]
    row = get_run(workspace, result["run_id"])
    assert row["status"] == status and row["ended"] and list_runs(workspace, "nap")[0]["id"] == result["run_id"]
    tracked, artifacts = mlflow_run(workspace, result["run_id"])
    assert tracked.data.tags["job.status"] == status and tracked.info.status in ("KILLED", "FAILED") and {"nap.ipynb", "nap.html", "log.txt"} <= artifacts
    notebook = json.loads((workspace.runs / result["run_id"] / "nap.ipynb").read_text())
    assert notebook["cells"][0]["source"].startswith(f"> **nap {status.replace('_', ' ')} in")   # what papermill wrote below says "completed"


def run_and(act, workspace):
    "Run the job here; when it sleeps, call `act` with child, kernel and the kernel's own processes; the result and those processes"
    mark, touched = workspace.state / "asleep", []
    mark.unlink(missing_ok=True)
    def watch(event):
        if event["event"] != "tick" or not mark.exists(): return
        if not touched: touched.append(None)          # let the supervisor look once more
        elif touched == [None]:
            touched[:] = tree_of(os.getpid())
            act(*touched)
    return run_job("nap", {}, workspace, on_event=watch).as_dict(), [touched[0], touched[1], *touched[2]]


def test_kill_9_of_the_kernel_and_then_of_the_child(nap):
    first, processes = run_and(lambda child, kernel, others: kernel.kill(), nap)
    check(nap, first, "killed", *processes)
    assert "before the nap" in (nap.runs / first["run_id"] / "log.txt").read_text()

    second, processes = run_and(lambda child, kernel, others: child.kill(), nap)
    check(nap, second, "killed", *processes)
    assert (nap.state / "asleep").read_text() == str(nap.runs / first["run_id"])         # it went on from the first
    assert "ended by signal 9" in second["message"] and get_run(nap, second["run_id"])["resumed_from"] == first["run_id"]

    done = run_job("nap", {"seconds": 0}, nap)
    assert done.status == "succeeded" and get_run(nap, done.run_id)["resumed_from"] == ""    # other parameters: another step
    assert no_stray(nap) and not runs.processes_of(done.run_id)                              # what it had started was ended with it


def test_the_newest_run_with_a_sealed_checkpoint_is_gone_on_with(workspace):
    write_job(workspace, "train", "steps: int = 9  # steps", "print(steps)")
    plan = plan_step("train", {}, workspace)
    def stopped(status, checkpoint=None):
        run_id = runs.add_run(workspace, "train", status=status, step_key=plan.key)
        folder = workspace.runs / run_id / "checkpoints" / (checkpoint or "none")
        folder.mkdir(parents=True)
        if checkpoint: (folder / "manifest.json").write_text("{}")
        return run_id
    unfinished = lambda: (find_unfinished(workspace, plan) or {"id": None})["id"]
    assert unfinished() is None
    early = stopped("cancelled")
    assert unfinished() == early                       # some jobs have other things to go on from
    sealed = stopped("killed", "checkpoint-5")
    stopped("lost")                                    # killed before its first checkpoint
    assert unfinished() == sealed
    newer = stopped("timed_out", "checkpoint-7")
    assert unfinished() == newer
    stopped("succeeded")
    assert unfinished() is None                        # what is done is not gone on with


def test_a_second_start_is_refused_and_kill_9_of_the_supervisor_leaves_nothing(nap):
    supervisor, child, kernel, others = started(nap)
    run_id = next(r["id"] for r in list_runs(nap, "nap"))
    with pytest.raises(BusyError, match=f"'nap' is already running: run {run_id}, process {supervisor.process.pid}"): run_job("nap", {}, nap)
    assert get_run(nap, run_id)["status"] == "running"
    supervisor.process.kill()
    supervisor.process.wait()
    assert gone(child, kernel, *others)                                                  # the child saw its pipe close
    lost = list_runs(nap, "nap")[0]
    assert (lost["id"], lost["status"], lost["cell_title"]) == (run_id, "lost", "A long nap") and str(supervisor.process.pid) in lost["message"]
    assert no_stray(nap)                                                                 # ended by the look at the list
    done = run_job("nap", {"seconds": 0}, nap)                                           # the lock is free, and MLflow is told
    assert done.status == "succeeded" and mlflow_run(nap, run_id)[0].data.tags["job.status"] == "lost"


def test_sigterm_cancels(nap):
    supervisor, *processes = started(nap)
    supervisor.process.send_signal(signal.SIGTERM)
    check(nap, supervisor.result(), "cancelled", *processes[:2], *processes[2])


@pytest.mark.slow
def test_ctrl_c_cancels_and_a_second_one_does_not_wait(nap):
    supervisor, *processes = started(nap)
    processes[0].suspend()                                                               # a child that would use up the whole grace time
    supervisor.process.send_signal(signal.SIGINT)
    time.sleep(1)
    supervisor.process.send_signal(signal.SIGINT)
    check(nap, supervisor.result(timeout=9), "cancelled", *processes[:2], *processes[2])


@pytest.mark.slow
def test_kill_9_of_supervisor_and_child_at_once(nap):
    supervisor, child, kernel, others = started(nap)
    for process in (supervisor.process, child): os.kill(process.pid, signal.SIGSTOP)      # so that neither sees the other die
    for process in (supervisor.process, child): os.kill(process.pid, signal.SIGKILL)
    supervisor.process.wait()
    assert not gone(*others, within=0.5)                                                 # nobody is left to end them ...
    assert list_runs(nap, "nap")[0]["status"] == "lost" and gone(child, kernel, *others)  # ... but the next look does


@pytest.mark.slow
def test_the_time_limit(nap):
    result, processes = run_and(lambda *_: None, with_settings(nap, job_timeout_s=12))
    check(nap, result, "timed_out", *processes)
    assert "longer than the limit of 12 s (job_timeout_s)" in result["message"]


def test_the_memory_limit(workspace):
    write_job(workspace, "eat", "mb: int = 700  # to hold", "block = bytearray(mb * 2**20)", "import time; time.sleep(60)")
    result = run_job("eat", {}, with_settings(workspace, job_memory_mb=600))
    assert result.status == "killed" and "over the limit of 600 MB (job_memory_mb)" in result.message and result.peak_rss_mb > 600
    assert not runs.processes_of(result.run_id)


@pytest.mark.slow
def test_a_kernel_that_ignores_sigterm_is_killed_after_the_grace(workspace, monkeypatch):
    from genai_factory.ops import runner
    monkeypatch.setattr(runner, "supervise", lambda watch, run_id, real=runner.supervise: real(watch, run_id, grace_s=1))
    write_job(workspace, "deaf", "seconds: int = 60  # to sleep", RUN, "import signal, time; signal.signal(signal.SIGTERM, lambda *a: print('no', flush=True))\nrun.output('pid', __import__('os').getpid())\n"
              "end = time.time() + seconds\nwhile time.time() < end: time.sleep(0.1)")
    def stop(event):
        if event["event"] == "tick" and list(workspace.runs.glob("*/outputs.json")): raise KeyboardInterrupt
    result = run_job("deaf", {}, workspace, on_event=stop)
    assert result.status == "cancelled" and not psutil.pid_exists(json.loads((result.folder / "outputs.json").read_text())["pid"]["value"])


@pytest.mark.slow
def test_kills_at_random_moments_leave_nothing(nap):
    import random
    chance = random.Random(7)
    for _ in range(12):
        supervisor = Supervisor(nap, "nap")
        time.sleep(chance.uniform(0.5, 6))
        below = psutil.Process(supervisor.process.pid).children(recursive=True)
        target = chance.choice([supervisor.process, *below])
        try: os.kill(target.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        if target is supervisor.process or supervisor.process.poll() is None and not below: supervisor.process.kill()
        threading.Timer(15, supervisor.process.kill).start()       # a kill of something that the job can live without
        supervisor.process.wait()
        assert gone(*below), below
    assert {r["status"] for r in list_runs(nap, "nap")} <= {"killed", "lost", "failed"}
