"""An assistant with the real one's manners and no model: for tests of the doors, where the words do not matter."""
from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

from genai_factory.core.base import Citation, Message, Reply, Usage

TEXT = "Loans may be repaid early.\nThe fee is <b>25 euros</b>. It is charged once."
QUOTE = "The fee is <b>25 euros</b>."


class StandIn:
    "Answers every question with the same two words and a citation; `pause` seconds lie between the pieces."
    def __init__(self, pause: float = 0.0, pieces: tuple[str, ...] = ("The fee is", " 25 euros. [loans]"), fails: Exception | None = None):
        self.pause, self.pieces, self.fails, self.closed, self.questions = pause, pieces, fails, 0, []

    async def astream(self, question):
        self.questions.append(question)
        try:
            yield SimpleNamespace(kind="stage", text="Searching")
            yield SimpleNamespace(kind="draft", text="A guess")
            for piece in self.pieces:
                await asyncio.sleep(self.pause)
                yield SimpleNamespace(kind="answer", text=piece)
            if self.fails: raise self.fails
            start = TEXT.index(QUOTE)
            citation = Citation("loans.md", "handbook/loans.md", "Loans", start, start + len(QUOTE), QUOTE, {"heading": "Fees"})
            yield SimpleNamespace(kind="final", text="", reply=Reply(Message("assistant", "".join(self.pieces)), citations=[citation],
                                                                     usage=Usage(7, 5), finish_reason="stop", served_by="model"))
        finally: self.closed += 1

    def document_texts(self, wanted): return {"loans.md": TEXT}


@contextmanager
def running(app):
    "A real server in a thread, on a free port."
    import uvicorn

    from genai_factory.app.api import bind
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try: yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def until(condition, seconds: float = 30):
    "Wait for something that will happen; a generous limit, so that it fails and does not hang."
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end: raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(0.02)
