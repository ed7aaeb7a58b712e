"""`make bench`: run every measurement (or those named), and write tests/results/NAME.json with what is needed to judge the figure later."""

import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"


def cpu_seconds() -> float:
    "CPU seconds, user and system, of the children that have ended"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def machine() -> str:
    "Processor, cores and memory, in words"
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.processor() or platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def commit() -> str:
    "Short hash of the checkout, with `+changes` where something tracked outside tests/results differs from it"
    git = lambda *words: subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno", "--", ":/", ":!/tests/results") else "")


def measure(name: str) -> dict:
    "Run one measurement in a process of its own; its last line is its JSON"
    command, load, cpu, start = [sys.executable, "-m", f"tests.benchmarks.{name}"], os.getloadavg(), cpu_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True)
    if done.returncode or not done.stdout.strip(): raise SystemExit(f"the measurement {name} failed (exit status {done.returncode})\n{done.stdout}")
    used = {"wall_seconds": round(time.perf_counter() - start, 2), "cpu_seconds": round(cpu_seconds() - cpu, 2)}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"commit": commit(), "machine": machine(), "load": [round(x, 2) for x in load], "date": now, "command": f"python -m tests.benchmarks {name}"}
    return {"name": name} | json.loads(done.stdout.splitlines()[-1]) | used | about


def main(names: list[str]) -> int:
    "Measure, print one line each, keep the results; 1 when a figure misses its stated bound"
    RESULTS.mkdir(exist_ok=True)
    missed = 0
    for name in names or sorted(p.stem for p in HERE.glob("[a-z]*.py")):
        result = measure(name)
        print(json.dumps(result), flush=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        missed += result["value"] > result.get("at_most", float("inf")) or result["value"] < result.get("at_least", float("-inf"))
    return int(missed > 0)


if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
