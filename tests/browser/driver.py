"""A real Chromium on a page of ours: what it loads from elsewhere and what its console complains of is kept."""
from __future__ import annotations

import re
from contextlib import contextmanager
from urllib.parse import urlsplit

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync").split()
# Chromium's own calls home (updates, form filling) find no name and no proxy; what the page itself asks for is seen in `foreign`.
FLAGS += ["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
ANSWER = "[data-testid=bot]"
WATCH = """window.seen = []; new MutationObserver(() => {
  const all = document.querySelectorAll('[data-testid=bot]'), text = all.length ? all[all.length - 1].innerText.trim() : '';
  if (text && text !== window.seen.at(-1)) window.seen.push(text);
}).observe(document, {subtree: true, childList: true, characterData: true})"""   # no state of the page escapes it, however fast


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
        page.add_init_script(WATCH)
        page.goto(url)
        page.wait_for_selector("#question textarea")
        try: yield page
        finally: browser.close()


def grow(page, question=None, seconds=60):
    "Type a question (or None: it was asked already); the texts of the newest answer, until it says who gave it."
    answers = page.locator(ANSWER).count() + bool(question)
    if question:
        page.evaluate("window.seen = []")
        page.fill("#question textarea", question)
        page.keyboard.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('[data-testid=bot]').length >= n && window.seen.at(-1)?.includes('Answered by')", arg=answers, timeout=1000 * seconds)
    return page.evaluate("window.seen")
