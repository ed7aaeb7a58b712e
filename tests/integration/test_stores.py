"""SQLite and Redis keep the same contract; damage, old and new files, two processes, and what stays on disk."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory import stores
from genai_factory.core.base import BusyError, DamagedError, Message, UnavailableError, UsageError
from genai_factory.core.memories import Fact, Summary
from genai_factory.stores import RedisStore, SQLiteStore
from genai_factory.testing.stores import CANARY, StoreContract, say, texts


class TestSQLiteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path): self.folder, self.now, self.open = tmp_path, 1000.0, []

    def make(self, ttl_s=None):
        self.open.append(SQLiteStore(self.folder / "memory.db", ttl_s, clock=lambda: self.now))
        return self.open[-1]

    def later(self, seconds): self.now += seconds
    def everything(self): return b"\n".join(file.read_bytes() for file in self.folder.rglob("*") if file.is_file())


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, redis_url): self.url = redis_url

    def make(self, ttl_s=None): return RedisStore(self.url, ttl_s)
    def later(self, seconds): time.sleep(seconds)

    def everything(self):
        import redis
        client, found = redis.Redis.from_url(self.url), []
        for key in client.scan_iter():
            kind = client.type(key)
            found += [key, *(client.lrange(key, 0, -1) if kind == b"list" else [client.get(key)] if kind == b"string" else [x for row in client.hgetall(key).items() for x in row])]
        return b"\n".join(found)

    def test_nothing_at_all_is_left(self):
        store = self.make()
        store.append("ann", "c", say("a"))
        store.set_summary("ann", "c", Summary("s", 1))
        store.add_fact("ann", Fact("k", "v"))
        store.erase("ann")
        assert self.everything() == b""

    def test_everything_expires(self):
        "Also the list of names, which is nobody's conversation"
        store = self.make(ttl_s=0.3)
        store.append("ann", "c", say("a"))
        self.later(0.5)
        assert self.everything() == b""


def test_snapshots_of_redis_forget_too(redis_server, redis_url):
    import redis
    client, store = redis.Redis.from_url(redis_url), RedisStore(redis_url)
    for step in ("written", "erased"):
        if step == "written": store.append("ann", "c", [*say(CANARY), *say("x")])
        else: store.erase("ann")
        client.save()
        assert any(CANARY.encode() in file.read_bytes() for file in redis_server[1].iterdir()) == (step == "written")


WRITER = """
import sys, time
from genai_factory.core.base import Message, ToolCall
from genai_factory.stores import RedisStore, SQLiteStore
kind, place, me, count = sys.argv[1:]
store = (RedisStore if kind == "redis" else SQLiteStore)(place)
print("ready", flush=True); sys.stdin.readline()
for n in range(int(count)):
    store.append("ann", "c", [Message("assistant", "", [ToolCall(f"{me}.{n}", "f")]), Message("tool", f"{me}.{n}", tool_call_id=f"{me}.{n}")])
    if kind == "sqlite": time.sleep(0.002)      # its lock is not handed on in turn
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_two_processes_lose_no_message(kind, tmp_path, request):
    place = request.getfixturevalue("redis_url") if kind == "redis" else str(tmp_path / "memory.db")
    count = 200 if kind == "redis" else 40
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, kind, place, me, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for me in "AB"]
    for writer in writers: assert writer.stdout.readline() == "ready\n"
    for writer in writers: writer.stdin.write("go\n"); writer.stdin.flush()
    for writer in writers: assert writer.wait(60) == 0
    said = (RedisStore if kind == "redis" else SQLiteStore)(place).read("ann", "c")
    ids = [m.tool_calls[0].id for m in said[::2]]
    assert [m.tool_call_id for m in said[1::2]] == ids and len(ids) == 2 * count         # no pair was parted
    for me in "AB": assert [i for i in ids if i[0] == me] == [f"{me}.{n}" for n in range(count)]
    assert any(a[0] == "A" and b[0] == "B" for a, b in zip(ids, ids[1:])) and any(a[0] == "B" and b[0] == "A" for a, b in zip(ids, ids[1:])), "they did not overlap"


@dataclass(repr=False)
class Written:
    "A store's file, its bytes and what it says; not shown when a test fails"
    file: Path
    content: bytes
    truth: tuple


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    "The bytes of a small store, and what it says"
    file = tmp_path_factory.mktemp("damage") / "memory.db"
    store = SQLiteStore(file)
    messages = [Message("user" if n % 2 else "assistant", f"message {n} " * 20) for n in range(30)]
    store.append("ann", "c", messages)
    store.append("bob", "c", say("other"))
    store.set_summary("ann", "c", Summary("short", 3))
    store.add_fact("ann", Fact("city", "Graz", "c", (0,)))
    truth = (messages, ["c"], Summary("short", 3), store.facts("ann"))
    store.close()
    return Written(file, file.read_bytes(), truth)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_byte_never_gives_a_wrong_message(written, data):
    file, content, truth = written.file, written.content, written.truth
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1:])
    looks = ("read", "conversations", "summary", "facts")
    try:
        with closing(SQLiteStore(file)) as store:
            for look, right in zip(looks, truth, strict=True):
                try: assert getattr(store, look)(*("ann", "c")[:2 if look in ("read", "summary") else 1]) in (right, [], None) if look != "read" else store.read("ann", "c") == right
                except DamagedError: pass
    except (DamagedError, UsageError, BusyError): pass       # not opened: no SQLite file, another schema


@pytest.mark.parametrize("harm", ["update messages set record = replace(record, 'two', 'Two')", "delete from messages where number = 1", "delete from messages where number = 2",
                                  "delete from conversations", "update conversations set messages = 2", "update messages set number = 7 where number = 2"])
def test_tampered_rows_are_damaged(tmp_path, harm):
    store = SQLiteStore(tmp_path / "memory.db")
    store.append("ann", "c", say("one", "two", "three"))
    with closing(sqlite3.connect(store.path)) as other, other: other.execute(harm)
    with pytest.raises(DamagedError, match=r"[Rr]estore"): store.read("ann", "c")
    store.erase("ann", "c")                                  # what is damaged can still be erased
    assert store.read("ann", "c") == []


def test_a_file_that_is_no_store(tmp_path):
    (tmp_path / "memory.db").write_bytes(b"hello " * 1000)
    with pytest.raises(DamagedError, match="not a database"): SQLiteStore(tmp_path / "memory.db")
    with pytest.raises(UnavailableError, match="version first"): RedisStore("redis://127.0.0.1:9/0").append("a", "b", say("x"))
    with pytest.raises(UsageError, match="address"): RedisStore("localhost:6379")


def test_damaged_redis_records(redis_url):
    import redis
    client, store = redis.Redis.from_url(redis_url), RedisStore(redis_url)
    store.append("ann", "c", say("one", "two"))
    store.add_fact("ann", Fact("k", "v"))
    [key] = client.keys("*:c:*")
    for harm in (lambda: client.lset(key, 0, b"\xff" + client.lindex(key, 0)[1:]), lambda: client.lset(key, 0, client.lindex(key, 1)), lambda: client.lset(key, 0, b"")):
        before = client.lindex(key, 0)
        harm()
        with pytest.raises(DamagedError): store.read("ann", "c")
        client.lset(key, 0, before)
    assert texts(store, "ann", "c") == ["one", "two"]
    [facts] = client.keys("*:facts")
    client.hset(facts, next(iter(client.hgetall(facts))), "nonsense")
    with pytest.raises(DamagedError): store.facts("ann")
    client.delete(key)
    client.set(key, "text")
    with pytest.raises(DamagedError, match="something else"): store.read("ann", "c")


def test_old_files_are_lifted_and_new_ones_refused(tmp_path, monkeypatch):
    file = tmp_path / "memory.db"
    store = SQLiteStore(file)
    store.append("ann", "c", say(CANARY))
    store.close()
    monkeypatch.setattr(stores, "_STEPS", [*stores._STEPS, "create table more (x)"])
    lifted, backup = SQLiteStore(file), tmp_path / "memory.db.v1.bak"
    assert texts(lifted, "ann", "c") == [CANARY] and CANARY.encode() in backup.read_bytes()
    lifted.close()
    monkeypatch.undo()
    with pytest.raises(UsageError, match="schema 2, this one knows 1"): SQLiteStore(file)
    monkeypatch.setattr(stores, "_STEPS", [*stores._STEPS, "create table more (x)"])
    SQLiteStore(file).erase("ann")
    assert not backup.exists() and CANARY.encode() not in file.read_bytes()


def test_a_file_that_is_held_says_so(tmp_path, monkeypatch):
    store = SQLiteStore(tmp_path / "memory.db")
    store._database.execute("pragma busy_timeout = 50")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(BusyError, match="locked"): store.append("ann", "c", say("x"))
        other.execute("rollback")
    assert store.append("ann", "c", say("x")) == 1
