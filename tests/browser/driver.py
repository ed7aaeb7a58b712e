"""A real Chromium on a page of ours: what it loads from elsewhere and what its console complains of is kept."""
from __future__ import annotations

import re
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync").split()
# Chromium's own calls home (updates, form filling) find no name and no proxy; what the page itself asks for is seen in `foreign`.
FLAGS += ["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
ANSWER = "[data-testid=bot]"


@contextmanager
def browser_page(url, width=1000, height=800):
    "A page with `.foreign` (requests to other hosts, refused) and `.complaints` (console warnings and errors)."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.foreign, page.complaints = [], []
        here = urlsplit(url).netloc

        def look(route):
            "Let requests to the server through, keep and refuse all others."
            if urlsplit(route.request.url).netloc in (here, ""): return route.continue_()
            page.foreign.append(route.request.url)
            route.abort()
        page.route(re.compile(r"^(https?|wss?|ftp):"), look)
        page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#question textarea")
        try: yield page
        finally: browser.close()


def grow(page, question=None, seconds=60):
    "Type a question (or None: it was asked already) and collect the texts of the newest answer until it says who gave it."
    before = page.locator(ANSWER).count()
    if question:
        page.fill("#question textarea", question)
        page.keyboard.press("Enter")
    texts, end = [], time.monotonic() + seconds
    while not (texts and "Answered by" in texts[-1]):
        assert time.monotonic() < end, texts
        found = page.locator(ANSWER)
        text = found.last.inner_text() if found.count() and (found.count() > before or not question) else ""
        if text and (not texts or text != texts[-1]): texts.append(text)
        time.sleep(0.02)
    return texts
