"""Prices are exact or unknown, never guessed; the ledger loses nothing, whoever writes it."""

import multiprocessing
import sqlite3
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core.base import BusyError, DamagedError, MissingError, Usage, UsageError
from genai_factory.llms.pricing import Attempt, Ledger, cost, load_prices

ROW = "{models: [m-*], valid_from: 2026-01-01, input: 1.5, cached_input: 0.15, output: 6, cache_write: 1.875, cache_write_1h: 3}"


@pytest.fixture
def table(tmp_path):
    "Writes rows into a table and reads it"
    def read(*rows, head=""):
        file = tmp_path / "mine.yaml"
        file.write_text(head + "prices:\n" + "".join(f"- {row}\n" for row in rows))
        return load_prices(file)
    return read


def test_every_rate_has_its_tokens(table):
    prices = table(ROW)
    usage = Usage(input_tokens=1000, output_tokens=100, cached_tokens=300, reasoning_tokens=60, cache_write_tokens=200, cache_write_1h_tokens=50)
    by_hand = (450 * Fraction("1.5") + 300 * Fraction("0.15") + 200 * Fraction("1.875") + 50 * 3 + 100 * 6) / 1_000_000
    assert Fraction(cost(usage, "m-1", prices)) == by_hand


@pytest.mark.parametrize("model, usage", [
    ("nobody-knows-it", Usage(10, 10)),
    ("", Usage(10, 10)),
    ("gpt-4o-2024-05-13", Usage(10, 10, cached_tokens=5)),           # no rate for cached input
    ("gpt-4o", Usage(10, 10, cache_write_tokens=5)),                 # no rate for writing
    ("gpt-4o", Usage(10, 10, cached_tokens=11)),                     # more cached than there was: the counts contradict each other
    ("gpt-4o", Usage()),                                             # nothing counted
    ("claude-sonnet-4-5", Usage(200_001, 1)),                        # beyond what the row holds for
    *[("gpt-4o", Usage(10, n)) for n in ("7", 7.5, [1], 10**30, -1, True, None)],   # no counts
    (None, Usage(10, 10)),
])
def test_what_is_not_known_has_no_price(model, usage): assert cost(usage, model, load_prices()) is None


def test_a_day_has_its_own_price():
    prices, usage = load_prices(), Usage(1_000_000, 0)
    assert [cost(usage, "o3", prices, day) for day in (date(2025, 4, 15), date(2025, 4, 16), date(2025, 6, 9), date(2025, 6, 10))] == [None, 10, 10, 2]


def test_the_shipped_table_is_plausible():
    prices = load_prices()
    assert prices.version and len(prices.shipped) > 10
    for row in prices.shipped:
        assert 0 < row.input < row.output
        if row.cached_input is not None: assert row.cached_input < row.input
        if row.cache_write is not None: assert row.cache_write == row.input * Decimal("1.25") and row.cache_write_1h == row.input * 2


def test_ones_own_rows_win_and_are_named_in_the_version(table):
    prices = table("{models: ['gpt-4*'], valid_from: 2020-01-01, input: 1, output: 2, currency: EUR}", head="version: house\n")
    assert prices.find("gpt-4o").currency == "EUR" and prices.find("o3").currency == "USD"
    assert prices.version.startswith(load_prices().version + "+house:")
    assert table(ROW, head="version: house\n").version != prices.version, "other rows under the same name are another version"


def test_an_exact_name_beats_a_pattern_and_a_longer_pattern_a_shorter(table):
    rows = [f"{{models: ['{name}'], valid_from: 2026-01-01, input: {n}, output: 9}}" for n, name in enumerate(["a-*", "a-b*", "a-bc", "*"])]
    prices = table(*rows)
    assert [prices.find(model).input for model in ("a-bc", "a-bcd", "a-x", "z")] == [2, 1, 0, 3]


@pytest.mark.parametrize("row, said", [
    ("{models: [m], valid_from: 2026-01-01, input: 1, output: 2, cached_inptu: 1}", "row 2: unknown key 'cached_inptu'. Did you mean 'cached_input'?"),
    ("{models: [m], valid_from: 2026-01-01, input: -1, output: 2}", "row 2: input = -1"),
    ("{models: [m], valid_from: 2026-01-01, input: .nan, output: 2}", "row 2: input"),
    ("{models: [m], valid_from: 2026-01-01, input: cheap, output: 2}", "row 2: input = 'cheap'"),
    ("{models: [m], valid_from: 2026-01-01, input: 1}", "row 2: output"),
    ("{models: [], valid_from: 2026-01-01, input: 1, output: 2}", "row 2: models"),
    ("{models: [m], valid_from: tomorrow, input: 1, output: 2}", "row 2: valid_from = 'tomorrow'"),
    ("{models: [m], valid_from: 2026-01-01, input: 1, output: 2, currency: dollars}", "row 2: currency = 'dollars'"),
    ("{models: ['m-*'], valid_from: 2026-01-01, input: 1, output: 2}", "row 2: 'm-*' from 2026-01-01 on stands in row 1 already"),
    ("just a word", "prices.1"),
])
def test_a_wrong_row_is_named(table, row, said):
    with pytest.raises(UsageError) as caught: table(ROW, row)
    assert "mine.yaml" in str(caught.value) and said in str(caught.value)


def test_a_missing_or_mistyped_file_is_named(tmp_path):
    with pytest.raises(MissingError, match="none.yaml"): load_prices(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("price: []\n")
    with pytest.raises(UsageError, match="unknown key 'price'.*'prices'"): load_prices(tmp_path / "odd.yaml")


# The ledger

def book(ledger, *usages, model="gpt-4o", **facts):
    "Add one priced attempt for each usage"
    prices = load_prices()
    for number, usage in enumerate(usages, 1):
        ledger.add(Attempt("openai", model, number, "ok", 0.5, usage, cost(usage, model, prices), "USD", prices.version, **facts))


COUNTS = st.builds(lambda fresh, cached, out, thought: Usage(fresh + cached, out + thought, cached, thought), *[st.integers(0, 10**7)] * 4)

@settings(max_examples=25, deadline=None)
@given(st.lists(COUNTS, max_size=12))
def test_the_sum_of_the_rows_is_the_sum_of_the_usages(tmp_path_factory, usages):
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "l.db")
    book(ledger, *usages)
    priced = [usage for usage in usages if usage.total_tokens]
    total = sum(usages, Usage())
    if usages:
        [row] = ledger.totals()
        assert Usage(*[row[name] for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens", "cache_write_1h_tokens")]) == total
        assert (row["attempts"], row["unpriced"]) == (len(usages), len(usages) - len(priced))
        assert row["cost"].get("USD", 0) == (cost(total, "gpt-4o", load_prices()) or 0), "exact: no rounding anywhere"
    else: assert ledger.totals() == []
    ledger.close()


def test_unknown_counts_and_costs_stay_unknown(tmp_path):
    ledger = Ledger(tmp_path / "l.db")
    ledger.add(Attempt("openai", "m", 1, "StreamInterrupted", 3.0))
    [row] = ledger.rows()
    assert row["input_tokens"] is None and row["cost"] is None and row["currency"] is None and row["time"] > 1e9
    [total] = ledger.totals("status")
    assert (total["status"], total["unpriced"], total["cost"]) == ("StreamInterrupted", 1, {})


def test_currencies_are_never_added(tmp_path):
    ledger = Ledger(tmp_path / "l.db")
    for currency, amount in (("USD", "0.1"), ("EUR", "0.2"), ("USD", "0.3")): ledger.add(Attempt("p", "m", 1, "ok", 1, Usage(1, 1), Decimal(amount), currency))
    assert ledger.totals()[0]["cost"] == {"EUR": Decimal("0.2"), "USD": Decimal("0.4")}
    table = ledger.frame("model")
    assert table.loc[0, "cost_USD"] == Decimal("0.4") and table.loc[0, "attempts"] == 3
    with pytest.raises(UsageError, match="Did you mean 'model'"): ledger.totals("modle")


def test_totals_can_start_at_a_moment(tmp_path):
    ledger = Ledger(tmp_path / "l.db")
    for moment in (100.0, 200.0, 300.0): ledger.add(Attempt("p", "m", 1, "ok", 1, time=moment))
    assert ledger.totals(since=200.0)[0]["attempts"] == 2


def write_many(path, tenant, count):
    ledger = Ledger(path)
    book(ledger, *[Usage(10, n) for n in range(count)], tenant=tenant)


def test_several_processes_write_one_ledger(tmp_path):
    "Three start on a file that does not exist yet, in the same moment"
    start = multiprocessing.get_context("spawn")
    path = tmp_path / "new" / "l.db"
    writers = [start.Process(target=write_many, args=(path, name, 60)) for name in "abc"]
    for writer in writers: writer.start()
    for writer in writers: writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [(row["tenant"], row["attempts"], row["output_tokens"]) for row in Ledger(path).totals("tenant")] == [(name, 60, sum(range(60))) for name in "abc"]


def test_a_forked_child_uses_its_own_connection(tmp_path):
    ledger = Ledger(tmp_path / "l.db")
    book(ledger, Usage(1, 1))
    parent = ledger.connection
    child = multiprocessing.get_context("fork").Process(target=lambda: (book(ledger, Usage(2, 2)), exit(0 if ledger.connection is not parent else 1)))
    child.start()
    child.join(30)
    book(ledger, Usage(3, 3))
    assert child.exitcode == 0 and ledger.totals()[0]["attempts"] == 3


def test_a_newer_a_damaged_and_an_unwritable_file_are_refused(tmp_path):
    path = tmp_path / "l.db"
    Ledger(path).close()
    with sqlite3.connect(path) as db: db.execute("pragma user_version = 9")
    with pytest.raises(UsageError, match="newer release"): Ledger(path)
    (tmp_path / "bad.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(DamagedError, match="bad.db"): Ledger(tmp_path / "bad.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(BusyError, match="folder.db"): Ledger(tmp_path / "folder.db")


def test_counts_that_are_none_never_reach_the_sums(tmp_path):
    ledger = Ledger(tmp_path / "l.db")
    for n in ("7", 7.5, [1], 10**30, -5): ledger.add(Attempt("p", "m\ud800", 1, "ok", 0.1, Usage(n, 1), Decimal(-1), "USD", tenant="\ud800"))
    total, = ledger.totals("model")
    assert total["model"] == "m\\ud800" and total["attempts"] == total["unpriced"] == 5 and total["input_tokens"] == total["output_tokens"] == 0 and total["cost"] == {}


def test_only_the_owner_reads_a_ledger(tmp_path):
    ledger = Ledger(tmp_path / "new" / "l.db")
    ledger.add(Attempt("p", "m", 1, "ok", 0.1))
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in (tmp_path / "new").iterdir()} == dict.fromkeys(("l.db", "l.db-wal", "l.db-shm"), "0o600")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["/proc/nowhere/l.db", 5, None, ""])
def test_a_place_where_no_ledger_can_be_is_refused_in_words(path):
    with pytest.raises(UsageError): Ledger(path)
