"""An assistant with the real one's manners and no model: for tests of the doors, where the words do not matter."""
from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager

from genai_factory.assistant.rag import Event, Turn
from genai_factory.core.base import Citation, Document, Message, Passage, Reply, Usage

TEXT = "Loans may be repaid early.\nThe fee is <b>25 euros</b>. It is charged once."
QUOTE = "The fee is <b>25 euros</b>."


class StandIn:
    "Answers every question with the same two words and a citation; `pause` seconds lie between the pieces."
    def __init__(self, pause: float = 0.0, pieces: tuple[str, ...] = ("The fee is", " 25 euros. [loans]"), fails: Exception | None = None):
        self.pause, self.pieces, self.fails, self.closed, self.questions = pause, pieces, fails, 0, []

    async def astream(self, question):
        self.questions.append(question)
        try:
            yield Event("stage", "Searching")
            yield Event("draft", "A guess")
            for piece in self.pieces:
                await asyncio.sleep(self.pause)
                yield Event("answer", piece)
            if self.fails: raise self.fails
            start = TEXT.index(QUOTE)
            citation = Citation("loans.md", "handbook/loans.md", "Loans", start, start + len(QUOTE), QUOTE, {"heading": "Fees"})
            reply = Reply(Message("assistant", "".join(self.pieces)), citations=[citation], usage=Usage(7, 5), finish_reason="stop", served_by="model")
            passages = [Passage(TEXT, Document("loans.md", TEXT, "handbook/loans.md", "Loans"), 0, len(TEXT))]
            yield Event("final", reply=reply, turn=Turn(question, passages, reply, reply=reply))
        finally: self.closed += 1


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
