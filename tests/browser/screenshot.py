"""Take the picture of the page that the documents show: `python -m tests.browser.screenshot [WORKSPACE] [QUESTION]`, after `make demo`."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.browser.driver import browser_page, grow

ROOT = Path(__file__).parents[2]


def main(workspace=".", question="How much do I pay if I repay my personal loan early?", picture=ROOT / "nbs" / "images" / "app.png"):
    program = [sys.executable, "-c", "from genai_factory.cli import main; main()", "--workspace", workspace, "serve", "--port", "0"]
    server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        url = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.:]+", line)))
        with browser_page(url, 1000, 820) as page:
            print(grow(page, question)[-1])
            page.locator("details.source summary").first.click()
            page.wait_for_timeout(400)
            Path(picture).parent.mkdir(exist_ok=True)
            page.screenshot(path=picture)
    finally:
        server.terminate()
        server.wait(15)


if __name__ == "__main__": main(*sys.argv[1:])
