"""Sync code over async code: loops, interrupts, contexts, forks and abandoned streams."""

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from genai_factory.core import aio


async def value(x):
    await asyncio.sleep(0)
    return x


async def numbers(n, closed=None):
    try:
        for i in range(n):
            await asyncio.sleep(0)
            yield i
    finally:
        if closed is not None: closed.append(True)


def in_loop(function, *args):
    "Call a sync function from code that runs in a loop, as a notebook cell does"
    async def cell(): return function(*args)
    return asyncio.run(cell())


def test_run_without_and_within_a_loop():
    assert aio.run(value(1)) == 1
    assert in_loop(lambda: aio.run(value(2))) == 2


def test_run_uses_one_loop_per_thread():
    async def loop(): return id(asyncio.get_running_loop())
    assert aio.run(loop()) == aio.run(loop())
    other = []
    thread = threading.Thread(target=lambda: other.append(aio.run(loop())))
    thread.start(); thread.join()
    assert other[0] != aio.run(loop())


@pytest.mark.parametrize("place", ["plain", "loop"])
def test_errors_and_context_travel(place):
    call = (lambda f: f()) if place == "plain" else in_loop
    name = contextvars.ContextVar("name", default="unset")
    async def read(): return name.get()
    async def fail(): raise KeyError("inside")
    def body():
        token = name.set("set")
        try: assert aio.run(read()) == "set"
        finally: name.reset(token)
        with pytest.raises(KeyError, match="inside"): aio.run(fail())
    call(body)


@pytest.mark.parametrize("place", ["plain", "loop"])
def test_stream_is_whole_and_an_early_end_closes_its_source(place):
    call = (lambda f: f()) if place == "plain" else in_loop
    def body():
        assert list(aio.iterate(numbers(300), ahead=7)) == list(range(300))
        closed = []
        for i in aio.iterate(numbers(10_000, closed)):
            if i == 3: break
        gc.collect()
        assert closed == [True]
    call(body)


@pytest.mark.parametrize("place", ["plain", "loop"])
def test_a_slow_reader_slows_the_source(place):
    call = (lambda f: f()) if place == "plain" else in_loop
    made = []
    async def source():
        for i in range(1000):
            made.append(i)
            yield i
    def body():
        stream = aio.iterate(source(), ahead=5)
        assert next(stream) == 0
        time.sleep(0.05)
        assert len(made) <= 8
        stream.close()
    call(body)


def test_a_timeout_across_yields_fires():
    async def source():
        async with asyncio.timeout(0.05):
            while True:
                yield 1
                await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        for _ in aio.iterate(source()): pass


def test_an_error_in_the_stream_reaches_the_reader_after_the_items():
    async def source():
        yield 1
        raise ValueError("cut")
    got = []
    with pytest.raises(ValueError, match="cut"):
        for item in aio.iterate(source()): got.append(item)
    assert got == [1]


def test_a_call_on_the_background_loop_is_refused():
    async def outer(): return aio.run(value(1))
    with pytest.raises(RuntimeError, match="await"): in_loop(lambda: aio.run(outer()))


def test_interrupt_cancels_the_work():
    code = """if True:
        import asyncio
        from genai_factory.core import aio
        async def work():
            try:
                print("started", flush=True)
                await asyncio.sleep(30)
            except BaseException:   # cancelled while it waits, or interrupted itself while it runs
                print("cancelled", flush=True)
                raise
        try: aio.run(work())
        except KeyboardInterrupt: print("interrupted", flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert out.split() == ["cancelled", "interrupted"]


def test_a_forked_child_starts_afresh():
    assert in_loop(lambda: aio.run(value(1))) == 1     # the background thread exists
    pid = os.fork()
    if pid == 0: os._exit(0 if aio.run(value(7)) == 7 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_open_stream_does_not_keep_the_interpreter():
    code = """if True:
        import asyncio
        from genai_factory.core import aio
        async def endless():
            while True:
                yield 1
                await asyncio.sleep(0.01)
        async def cell(): return next(keep)
        keep = aio.iterate(endless())
        next(keep)
        async def inside():
            global other
            other = aio.iterate(endless())
            return next(other)
        asyncio.run(inside())
    """
    assert subprocess.run([sys.executable, "-X", "dev", "-c", code], timeout=30).returncode == 0
