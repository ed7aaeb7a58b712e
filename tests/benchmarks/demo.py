"""The whole loop as a newcomer runs it: `genai-factory demo --no-serve` in an empty workspace beside the sample data; prints its seconds and its scores."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace, result = Path(folder), Path(folder) / "demo.json"
        (workspace / "settings.ini").write_text("[local]\n")
        (workspace / "data").symlink_to(ROOT / "data")
        start = time.perf_counter()
        command = [Path(sys.executable).parent / "genai-factory", "--workspace", folder, "demo", "--no-serve", "--json", str(result)]
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
        seconds = time.perf_counter() - start
        if done.returncode: raise SystemExit(done.returncode)
        measured = json.loads(result.read_text())
    print(json.dumps({"value": round(seconds, 1), "unit": "seconds", "at_most": 240, "n": 1, **measured}))


if __name__ == "__main__": main()
