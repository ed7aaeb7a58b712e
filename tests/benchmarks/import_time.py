"""How long `import genai_factory` takes, against `python -c pass`: the least of interleaved rounds, as a program that is in the way is slower, never faster."""

import json
import os
import subprocess
import sys
import time

ROUNDS = 15
CODES = {"pass": "pass", "import": "import genai_factory"}


def once(code: str) -> tuple[float, float]:
    "Wall and CPU seconds of one new process"
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    wall, after = time.perf_counter() - start, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    for code in CODES.values(): once(code)  # files are in the page cache, byte code is written
    rounds = [{name: once(code) for name, code in CODES.items()} for _ in range(ROUNDS)]
    least = {name: min(r[name][0] for r in rounds) for name in CODES}
    cpu = {name: sum(r[name][1] for r in rounds) / ROUNDS for name in CODES}
    print(json.dumps({"value": round(least["import"] / least["pass"], 3), "n": ROUNDS, "at_most": 3, "unit": "times `python -c pass`",
                      "cpu_ratio": round(cpu["import"] / cpu["pass"], 3), "milliseconds": {name: round(1000 * s, 1) for name, s in least.items()}}))
