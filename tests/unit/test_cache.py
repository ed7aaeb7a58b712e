"""The response cache: exact, apart for each tenant, and never worse than no cache."""

import sqlite3

import pytest

from genai_factory.core.base import BusyError, Citation, Delta, Document, Message, Part, Passage, Tool, ToolCall, Usage, UsageError
from genai_factory.core.configs import LLMConfig
from genai_factory.llms.cache import Cache, dump_deltas, load_deltas, request_key

ANSWER = [Delta("Grüße "), Delta("\U0001f600"), Delta(reasoning="hm"), Delta(part=Part("reasoning", {"signature": "x"})), Delta(tool_call=ToolCall("1", "add", "{}")),
          Delta(citations=(Citation("d", "s", "t", 0, 3, "abc"),)), Delta(usage=Usage(9, 4, 3, 1, 2, 1), finish_reason="stop", model="m-1", confidence=-0.5, cost=0.01, served_by="a:b")]
ASK = [Message("user", "What does it cost?")]
ADD = Tool("add", "Adds.", {"type": "object", "properties": {}}, print)


@pytest.fixture
def clock(): return [1000.0]

@pytest.fixture
def cache(tmp_path, clock):
    cache = Cache(tmp_path / "c.db", ttl_s=60, now=lambda: clock[0])
    yield cache
    cache.close()


def test_every_field_of_a_delta_comes_back(): assert load_deltas(dump_deltas(ANSWER)) == ANSWER


BASE = dict(config=LLMConfig(provider="openai", model="m"), model="m", messages=ASK, asked={"tools": [ADD], "temperature": 0.0})
OTHER = {
    "model": {"model": "n"}, "base_url": {"config": LLMConfig(provider="openai", model="m", base_url="http://127.0.0.1:1")},
    "configured temperature": {"config": LLMConfig(provider="openai", model="m", temperature=1)},
    "configured option": {"config": LLMConfig(provider="openai", model="m", options={"top_p": 0.5})},
    "key": {"config": LLMConfig(provider="openai", model="m", api_key="k")},
    "seed": {"config": LLMConfig(provider="openai", model="m", seed=1)},
    "question": {"messages": [Message("user", "What does it cost")]}, "role": {"messages": [Message("system", "What does it cost?")]},
    "one more turn": {"messages": [*ASK, Message("assistant", "")]}, "passage": {"messages": [Message("user", [Part("text", "What does it cost?"), Part("passage", Passage("x", Document("d", "x"), 0, 1))])]},
    "temperature": {"asked": {"tools": [ADD], "temperature": 0.1}}, "no tools": {"asked": {"temperature": 0.0}},
    "another tool": {"asked": {"tools": [Tool("add", "Adds two.", ADD.parameters, print)], "temperature": 0.0}},
    "tool choice": {"asked": {"tools": [ADD], "temperature": 0.0, "tool_choice": "required"}},
    "form": {"asked": {"tools": [ADD], "temperature": 0.0, "response_format": {"name": "f", "schema": {}}}},
}

@pytest.mark.parametrize("what", OTHER)
def test_anything_that_shapes_the_answer_changes_the_key(what): assert request_key(**{**BASE, **OTHER[what]}) != request_key(**BASE)

def test_what_does_not_shape_the_answer_does_not():
    same = {**BASE, "config": LLMConfig(provider="openai", model="m", timeout_s=3, max_retries=7, cache=True)}
    assert request_key(**same) == request_key(**BASE) is not None
    assert request_key(**{**BASE, "asked": {**BASE["asked"], "response_format": None}}) == request_key(**BASE)

@pytest.mark.parametrize("asked", [{"x": object()}, {"x": b"bytes"}])
def test_a_request_that_cannot_be_written_down_has_no_key(asked): assert request_key(None, "m", ASK, asked) is None


def test_an_entry_lives_for_its_time_and_its_tenant(cache, clock):
    cache.put("a", "k", ANSWER)
    assert cache.get("a", "k") == ANSWER and cache.get("b", "k") is None and cache.get("", "k") is None and cache.get("a", "other") is None
    clock[0] += 59.9
    assert cache.get("a", "k") == ANSWER
    clock[0] += 0.1
    assert cache.get("a", "k") is None
    clock[0] -= 60
    assert cache.get("a", "k") is None, "an entry that was too old is gone"


def test_without_a_limit_an_entry_lives_for_ever(tmp_path, clock):
    cache = Cache(tmp_path / "c.db", now=lambda: clock[0])
    cache.put("a", "k", ANSWER)
    clock[0] += 1e9
    assert cache.get("a", "k") == ANSWER


@pytest.mark.parametrize("spoil", ["update entries set body = replace(body, 'Gr', 'Hr')", "update entries set body = substr(body, 1, 20)", "update entries set sha256 = ''",
                                   "update entries set tenant = 'b'", "update entries set body = x'00ff'"])
def test_a_changed_entry_is_a_miss(cache, spoil):
    cache.put("a", "k", ANSWER)
    cache.connection.execute(spoil)
    assert cache.get("a", "k") is None and cache.get("b", "k") is None
    cache.put("a", "k", ANSWER)
    assert cache.get("a", "k") == ANSWER


def test_a_flipped_byte_in_the_file_is_a_miss(cache):
    cache.put("a", "k", ANSWER)
    cache.connection.execute("pragma wal_checkpoint(truncate)")
    cache.close()
    bytes_ = bytearray(cache.path.read_bytes())
    at = bytes_.index(b"hm")
    bytes_[at] ^= 1
    cache.path.write_bytes(bytes_)
    assert cache.get("a", "k") is None


@pytest.mark.parametrize("rest", [0, 100, 5000])
def test_a_damaged_file_is_made_anew(tmp_path, rest):
    path = tmp_path / "c.db"
    cache = Cache(path)
    cache.put("a", "k", ANSWER)
    cache.close()
    for ending in ("-wal", "-shm"): (tmp_path / f"c.db{ending}").unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[:rest] + b"rubbish" * 4000)
    cache = Cache(path)
    assert cache.get("a", "k") is None
    cache.put("a", "k", ANSWER)
    assert cache.get("a", "k") == ANSWER


def test_a_locked_cache_is_passed_over(cache):
    cache.put("a", "k", ANSWER)
    holder = sqlite3.connect(cache.path, isolation_level=None)
    holder.execute("begin immediate")
    cache.connection.execute("pragma busy_timeout = 10")
    assert cache.get("a", "k") is None
    cache.put("a", "k2", ANSWER)
    holder.execute("rollback")
    assert cache.get("a", "k") == ANSWER and cache.get("a", "k2") is None


def test_the_longest_unused_go_first(tmp_path, clock):
    size = len(dump_deltas(ANSWER))
    cache = Cache(tmp_path / "c.db", max_bytes=3 * size, now=lambda: clock[0])
    for key in "abc":
        clock[0] += 1
        cache.put("t", key, ANSWER)
    clock[0] += 1
    assert cache.get("t", "a")
    cache.put("t", "d", ANSWER)
    assert {key: cache.get("t", key) is not None for key in "abcd"} == {"a": True, "b": False, "c": True, "d": True}
    cache.put("t", "huge", ANSWER * 4)
    assert cache.get("t", "huge") is None and cache.get("t", "d"), "an answer larger than the cache pushes nothing out"


def test_erase_leaves_nothing_of_a_tenant_on_the_disk(cache, tmp_path):
    cache.put("a", "k", [Delta("canary-7731", finish_reason="stop")])
    cache.put("b", "k", ANSWER)
    cache.erase("a")
    assert cache.get("a", "k") is None and cache.get("b", "k") == ANSWER
    assert not any(b"canary-7731" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_cache_that_can_never_work_is_refused(tmp_path):
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(BusyError, match="folder.db"): Cache(tmp_path / "folder.db")
    cache = Cache(tmp_path / "new.db")
    cache.connection.execute("pragma user_version = 9")
    cache.close()
    with pytest.raises(UsageError, match="newer release"): Cache(tmp_path / "new.db")


def test_the_key_in_the_environment_counts_too(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "one")
    before = request_key(**BASE)
    monkeypatch.setenv("OPENAI_API_KEY", "two")
    assert request_key(**BASE) != before


def test_only_the_owner_reads_the_cache(cache, tmp_path):
    cache.put("", "k", ANSWER)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())


def test_a_place_where_no_cache_can_be_is_refused_in_words():
    with pytest.raises(BusyError, match="cannot be used"): Cache("/proc/nowhere/c.db")
    with pytest.raises(UsageError, match="path of a file"): Cache(None)


@pytest.mark.parametrize("tenant", [5, b"x", "\ud800"])
def test_a_tenant_is_text(cache, tenant):
    for use in (lambda: cache.get(tenant, "k"), lambda: cache.put(tenant, "k", ANSWER), lambda: cache.erase(tenant)):
        with pytest.raises(UsageError, match="tenant"): use()
    cache.put("Jürgen \U0001f600", "k", ANSWER)
    assert cache.get("Jürgen \U0001f600", "k") == ANSWER
