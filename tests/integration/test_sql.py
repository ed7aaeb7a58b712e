"""The SQL tool on real databases: hostile statements change nothing and end in time, honest ones are answered."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from genai_factory.core.base import FactoryError, MissingError, ToolCall, UnavailableError, UsageError
from genai_factory.tools.sql import Bounds, Database, Rows, sql_tool
from genai_factory.tools.sqlcheck import checked_query
from genai_factory.tools.toolset import Toolset
from tests.integration.hostile_sql import COSTLY, REFUSED
from tests.integration.postgres import postgres  # noqa: F401

ROOT = Path(__file__).parents[2]
TABLES = ["loans", "customers", "rich"]
SECONDS = 0.25
RUNNER = """
import json, sys, time
from genai_factory.core.base import FactoryError
from genai_factory.tools.sql import Database
from tests.integration.hostile_sql import COSTLY, REFUSED
address, dialect, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
database = Database(address, tables=["loans", "customers", "rich"], max_rows=50, max_bytes=200_000, timeout_s=seconds)
for group, lines in (("refused", REFUSED[dialect]), ("costly", COSTLY[dialect])):
    for line in lines:
        started = time.perf_counter()
        try:
            rows = database.query(line)
            status, text, size = "ran", rows.for_model(5000), len(rows.rows)
        except FactoryError as error: status, text, size = "refused", str(error), 0
        print(json.dumps([group, line[:300], status, text[:5000], size, time.perf_counter() - started]), flush=True)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))    # ru_maxrss would count the process that started us
print(json.dumps(["memory", int(peak.split()[1]) // 1024]))
"""

SCRIPT = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, joined DATE, long TEXT);
CREATE TABLE loans (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), amount INTEGER NOT NULL);
CREATE TABLE secrets (id INTEGER PRIMARY KEY, word TEXT);
CREATE VIEW rich AS SELECT c.name, l.amount FROM customers c JOIN loans l ON l.customer_id = c.id WHERE l.amount > 250;
INSERT INTO secrets VALUES (1, 'tide-and-harbour');
"""


def filled(execute):
    "The same rows for both databases"
    for i in range(1, 21): execute(f"INSERT INTO customers VALUES ({i}, 'Customer {i}', '2020-01-{i:02}', '{'a' * 20_000}')")
    for i in range(1, 301): execute(f"INSERT INTO loans VALUES ({i}, {i % 20 + 1}, {i})")


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    path = tmp_path_factory.mktemp("lite") / "bank.sqlite"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(SCRIPT)
        filled(made.execute)
        made.commit()
    return path


@pytest.fixture(scope="module")
def served(postgres):  # noqa: F811
    import psycopg
    with psycopg.connect(f"{postgres} dbname=postgres", autocommit=True) as made: made.execute("CREATE DATABASE bank")
    with psycopg.connect(f"{postgres} dbname=bank") as made:
        made.execute(SCRIPT + "CREATE SCHEMA hidden; CREATE TABLE hidden.treasure (word TEXT); INSERT INTO hidden.treasure VALUES ('tide-and-harbour'); CREATE SEQUENCE ticket; "
                     "CREATE FUNCTION steal() RETURNS text LANGUAGE sql AS 'SELECT word FROM secrets'; CREATE FUNCTION steal(loans) RETURNS text LANGUAGE sql AS 'SELECT word FROM secrets'")
        filled(made.execute)
    return f"{postgres} dbname=bank"


def dump(address: str) -> str:
    "Everything that a PostgreSQL database holds, as a hash"
    import psycopg
    with psycopg.connect(address) as connection:
        tables = [f'"{s}"."{t}"' for s, t in connection.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2")]
        found = [tables, connection.execute("SELECT last_value, is_called FROM ticket").fetchall(), connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchall(),
                 connection.execute("SELECT rolname FROM pg_roles ORDER BY 1").fetchall(), connection.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1").fetchall(),
                 connection.execute("SELECT name, setting FROM pg_file_settings ORDER BY 1").fetchall(), *(connection.execute(f"SELECT * FROM {t} ORDER BY 1").fetchall() for t in tables)]
        return hashlib.sha256(repr(found).encode()).hexdigest()


def attack(address, dialect: str, tmp_path) -> list:
    "Run every hostile statement in a process of its own"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(address), dialect, str(SECONDS)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr[-2000:]
    *answers, (_, memory) = map(json.loads, ended.stdout.splitlines())
    assert memory < 400, f"{memory} MiB"
    assert len(answers) == len(REFUSED[dialect]) + len(COSTLY[dialect])
    assert [line for group, line, status, *_ in answers if group == "refused" and status != "refused"] == []
    assert [(line, seconds) for _, line, _, _, _, seconds in answers if seconds > 2 * SECONDS + 1.5] == []
    assert [line for _, line, _, text, rows, _ in answers if rows > 50 or "tide-and-harbour" in text or "root:" in text] == []
    return answers


def test_there_are_enough_of_them(): assert all(len(set(REFUSED[d] + COSTLY[d])) >= 200 for d in ("sqlite", "postgres"))


def test_hostile_statements_change_nothing_on_sqlite(lite, tmp_path):
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in lite.parent.iterdir()}
    answers = attack(lite, "sqlite", tmp_path)
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in lite.parent.iterdir()} == before and not list(tmp_path.iterdir())
    assert any("took longer" in text for _, _, _, text, *_ in answers)


def test_hostile_statements_change_nothing_on_postgres(served, tmp_path):
    before = dump(served)
    answers = attack(served, "postgres", tmp_path)
    assert dump(served) == before and not list(tmp_path.iterdir())
    assert any("took longer" in text for _, _, _, text, *_ in answers) and any("A row of the result has" in text for _, _, _, text, *_ in answers)


# The second wall, without the first

RAW_SQLITE = ["DELETE FROM loans", "SELECT * FROM secrets", "PRAGMA user_version = 9", "ATTACH 'x.db' AS x", "SELECT load_extension('x')", "CREATE TABLE x (a)", "SELECT * FROM sqlite_master", "SELECT printf('%d', 1)",
              "WITH x AS (SELECT word FROM secrets) SELECT * FROM x", "SELECT * FROM pragma_database_list", "CREATE TEMP TABLE x (a)"]


@pytest.mark.parametrize("sql", RAW_SQLITE)
def test_sqlites_own_guard_refuses_what_the_check_would_let_through(lite, sql):
    from genai_factory.tools.sql import _run_sqlite
    with pytest.raises(sqlite3.Error): _run_sqlite(lite, sql, set(TABLES), Bounds())


@pytest.mark.parametrize("sql", ["SELECT nextval('ticket')", "SELECT lo_create(0)::text", "WITH x AS (DELETE FROM loans RETURNING *) SELECT * FROM x", "SELECT 1) AS q; DELETE FROM loans; --", "SELECT pg_sleep(5)::text", "SELECT repeat('x', 100000000)"])
def test_postgres_own_guard_refuses_what_the_check_would_let_through(served, sql):
    import psycopg

    from genai_factory.tools.sql import _run_postgres
    before = dump(served)
    with contextlib.nullcontext() if "lo_create" in sql else pytest.raises(psycopg.Error):   # before version 16 a read-only transaction may make large objects: the rollback takes them away
        _run_postgres(served, "", "public", sql, Bounds(seconds=0.5))
    assert dump(served) == before


# Honest questions

@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    return Database(request.getfixturevalue("lite" if request.param == "sqlite" else "served"), tables=TABLES, max_rows=5)


@pytest.mark.parametrize("sql, rows", [
    ("SELECT count(*), sum(amount) FROM loans", [(300, 45150)]), ("SELECT c.name FROM loans AS l JOIN customers AS c ON c.id = l.customer_id WHERE l.amount = 7 -- mine", [("Customer 8",)]),
    ("WITH big AS (SELECT * FROM loans WHERE amount > 298) SELECT id FROM big ORDER BY id DESC", [(300,), (299,)]), ("SELECT CASE WHEN amount > 1 THEN 'b' ELSE 'a' END AS k FROM loans ORDER BY id LIMIT 2", [("a",), ("b",)]),
    ("WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT count(*) FROM n", [(3,)]), ("SELECT id FROM loans WHERE id < 3 UNION SELECT id FROM customers WHERE id = 20 ORDER BY 1", [(1,), (2,), (20,)]),
    ("SELECT id, rank() OVER (PARTITION BY customer_id ORDER BY amount DESC) AS r FROM loans WHERE customer_id = 2 AND amount < 30 ORDER BY id", [(1, 2), (21, 1)]), ("SELECT count(*) FROM rich", [(50,)]),
    ("SELECT upper(substr(name, 1, 4)) AS n, coalesce(NULL, 1) AS o FROM customers WHERE name LIKE 'Customer 1' OR 1 = 0", [("CUST", 1)]), ("SELECT l.customer_id, count(*) AS n FROM loans l GROUP BY 1 HAVING count(*) > 14 ORDER BY 1 LIMIT 1", [(1, 15)]),
    ("SELECT 'it''s; -- not /* a */ comment' AS t", [("it's; -- not /* a */ comment",)]), ("SELECT 7 / 2, 7 % 2, -7, NOT (1 = 1), CAST('3' AS INTEGER) + 1", [(3, 1, -7, False, 4)])])
def test_questions_are_answered(database, sql, rows): assert database.query(sql).rows == rows


def test_a_long_answer_is_cut_and_says_so(database):
    found = database.query("SELECT id FROM loans ORDER BY id")
    assert [row[0] for row in found.rows] == [1, 2, 3, 4, 5] and "[cut: these are the first 5 rows, there are more. Narrow" in found.for_model(2000)
    assert database.query("SELECT id FROM loans WHERE id < 6").more == "" and database.query("SELECT id FROM loans WHERE id < 2").for_model(2000) == "id\n1\n(1 row)"
    small = Database(database.source, tables=TABLES, max_bytes=250_000)
    assert "more than 250,000 bytes; 12 are here" in small.query("SELECT long FROM customers").for_model(2000)
    frame = found.frame()
    assert list(frame.columns) == ["id"] and len(frame) == 5 and "<table" in found._repr_html_() and "there are more" in found._repr_html_()


@pytest.mark.parametrize("sql, words", [("SELECT nme FROM customers", "Did you mean 'name'?"), ("SELECT amount FROM customers", "But loans has amount"), ("SELECT * FROM lons", "Did you mean 'loans'?"),
                                        ("SELECT c.amout FROM loans c", "Did you mean 'amount'?"), ("SELECT count(*) FROM loans GROUP BY count(*)", "refused the query"), ("SELECT 1 FROM", "cannot be parsed")])
def test_mistakes_are_told_so_that_the_next_try_is_better(database, sql, words):
    with pytest.raises(UsageError) as error: database.query(sql)
    assert words in str(error.value)


def test_the_description_shows_the_schema_and_values_only_when_asked(lite, served):
    for address, key in ((lite, "id INTEGER key"), (served, "id integer key")):
        made = sql_tool(address, tables=["customers", "loans"])
        assert f"customers({key}" in made.description and "-> customers" in made.description and "secrets" not in made.description and "Customer 1" not in made.description
        assert "Customer 2" in sql_tool(address, tables=["customers"], samples=2).description
        result = asyncio.run(Toolset([made]).acall(ToolCall("1", "sql", '{"query": "SELECT count(*) AS n FROM loans"}')))
        assert result.status == "ok" and result.message.text == "n\n300\n(1 row)"
    assert dataclasses.is_dataclass(Rows) and sql_tool(lite, trusted=False).trusted is False


def test_wrong_addresses_say_what_to_do(lite, tmp_path, served, monkeypatch):
    with pytest.raises(MissingError, match="no database at"): sql_tool(tmp_path / "none.sqlite")
    with pytest.raises(UsageError, match="needs a database"): sql_tool()
    with pytest.raises(UsageError, match="Did you mean 'loans'"): sql_tool(lite, tables=["loan"])
    with pytest.raises(UsageError, match="holds a password") as error: sql_tool("postgresql://bank:tide-and-harbour@127.0.0.1:1/bank")
    assert "tide" not in str(error.value)
    with pytest.raises(UsageError, match="variable BANK_PASSWORD is not set"): sql_tool("postgresql://bank@127.0.0.1:1/bank", password_env="BANK_PASSWORD")
    monkeypatch.setenv("BANK_PASSWORD", "tide-and-harbour")
    with pytest.raises(UnavailableError, match="does not answer") as gone: sql_tool("postgresql://bank@127.0.0.1:1/bank", password_env="BANK_PASSWORD")
    assert "tide" not in str(gone.value)
    assert Database(served, password_env="BANK_PASSWORD").query("SELECT 1").rows == [(1,)]
    (tmp_path / "text.sqlite").write_text("no database at all, " * 100)
    with pytest.raises(FactoryError, match="is no SQLite database"): sql_tool(tmp_path / "text.sqlite")


@pytest.mark.parametrize("sql, allowed", [
    ("SELECT l.id FROM loans AS l", True), ("SELECT loans.id FROM loans", True), ("SELECT x.a FROM (SELECT id AS a FROM loans) AS x", True), ("WITH c AS (SELECT id AS a FROM loans) SELECT c.a FROM c", True),
    ("SELECT l.b FROM loans AS l (a, b)", True), ("SELECT l.* FROM loans l", True), ("SELECT t.id FROM loans t WHERE EXISTS (SELECT 1 FROM people t WHERE t.steal = 1)", True), ("SELECT l.steal FROM loans l", False),
    ("SELECT t.steal FROM loans t WHERE EXISTS (SELECT 1 FROM people t WHERE t.steal = 1)", False), ("SELECT 1 FROM loans l JOIN people p ON l.steal = p.steal", False), ("SELECT 1 FROM loans ORDER BY loans.steal", False),
    ("SELECT 1 FROM (loans JOIN people ON true) WHERE loans.steal = 1", False), ("SELECT (SELECT l.steal) FROM loans l", False), ('SELECT l."Id" FROM loans l', False), ("SELECT public.loans.steal FROM public.loans", False)])
def test_a_column_that_is_a_function_in_disguise_is_refused(sql, allowed):
    tables = {"loans": ["id"], "people": ["steal"]}
    if allowed: assert checked_query(sql, "postgres", tables, "public")
    else:
        with pytest.raises(UsageError, match="does not exist. (Did|Known)"): checked_query(sql, "postgres", tables, "public")


def test_the_guard_writes_the_query_anew():
    assert checked_query("select /* x */ A from LOANS -- y", "sqlite", {"loans": ["a"]}) == "SELECT A FROM LOANS"


@pytest.mark.public_data
def test_gold_questions_on_public_data(public_data):
    database = Database(public_data / "chinook" / "chinook.sqlite", max_rows=5000)
    gold = [json.loads(line) for line in (public_data / "chinook" / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    before = hashlib.sha256((public_data / "chinook" / "chinook.sqlite").read_bytes()).hexdigest()
    for one in gold:
        rows, wanted = [list(row) for row in database.query(one["gold_sql"]).rows], one["rows"]
        assert rows == wanted if one["ordered"] else sorted(map(repr, rows)) == sorted(map(repr, wanted)), one["id"]
    assert len(gold) >= 20
    for table in database.schema.columns:
        for write in (f'DELETE FROM "{table}"', f'DROP TABLE "{table}"', f'UPDATE "{table}" SET rowid = 0', f'INSERT INTO "{table}" DEFAULT VALUES', f'ALTER TABLE "{table}" RENAME TO x',
                      f'WITH x AS (DELETE FROM "{table}" RETURNING *) SELECT * FROM x', f'SELECT 1; DELETE FROM "{table}"', f'REPLACE INTO "{table}" DEFAULT VALUES'):
            with pytest.raises(UsageError): database.query(write)
    assert hashlib.sha256((public_data / "chinook" / "chinook.sqlite").read_bytes()).hexdigest() == before


# What a database's own functions and names can make of a checked statement

@pytest.fixture(scope="module")
def hostile_schema(postgres):  # noqa: F811
    import psycopg
    address = f"{postgres} dbname=overloads"
    with psycopg.connect(f"{postgres} dbname=postgres", autocommit=True) as owner: owner.execute("CREATE DATABASE overloads")
    with psycopg.connect(address, autocommit=True) as owner:
        owner.execute("""CREATE TABLE customers (id int, name text, born date); INSERT INTO customers VALUES (1, 'Ann', 'infinity'), (2, 'Bo', '0044-03-15 BC');
            CREATE TABLE loans (id int, customer int, amount numeric); INSERT INTO loans VALUES (1, 1, 5), (2, 1, 7);
            CREATE FUNCTION leak(customers) RETURNS text LANGUAGE sql AS $$SELECT 'LEAKED'$$;
            CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS $$SELECT 'LEAKED'$$; CREATE FUNCTION count(customers) RETURNS text LANGUAGE sql AS $$SELECT 'LEAKED'$$;
            CREATE FUNCTION bad(int, int) RETURNS text LANGUAGE sql AS $$SELECT 'LEAKED'$$; CREATE OPERATOR || (leftarg = int, rightarg = int, function = bad)""")
    return Database(address, timeout_s=5)


@pytest.mark.parametrize("sql", """SELECT x.leak FROM (SELECT * FROM customers) x | SELECT X.leak FROM (SELECT * FROM customers) x | WITH x AS (SELECT * FROM customers) SELECT x.leak FROM x
    WITH x AS (SELECT * FROM customers) SELECT y.leak FROM x y | SELECT x.row_to_json FROM (SELECT id FROM customers) x | SELECT x.pg_column_size FROM (VALUES (1)) x | SELECT lower(1) | SELECT 1 || 2
    SELECT x.leak FROM (SELECT * FROM customers UNION SELECT * FROM customers) x | SELECT x.leak FROM (SELECT c.* FROM customers c JOIN loans l ON l.customer = c.id) x | SELECT count(customers) FROM customers
    SELECT c.leak FROM (customers JOIN loans ON true) c | SELECT (SELECT x.leak) FROM (SELECT * FROM customers) x | WITH x AS (SELECT * FROM customers), y AS (SELECT * FROM x) SELECT y.leak FROM y""".replace("\n", " | ").split(" | "))
def test_functions_of_the_schema_cannot_be_run(hostile_schema, sql):
    try: said = str(hostile_schema.query(sql.strip()).rows)
    except UsageError as error: said = str(error)
    assert "LEAKED" not in said
    if "row_to_json" in sql or "pg_column_size" in sql or "leak" in sql: assert said.startswith("Refused")


@pytest.mark.parametrize(("sql", "rows"), [
    ("SELECT x.name FROM (SELECT * FROM customers) x WHERE X.id = 1", [("Ann",)]), ("WITH s AS (SELECT customer, sum(amount) AS total FROM loans GROUP BY customer) SELECT c.name, s.total FROM s JOIN customers c ON c.id = s.customer", [("Ann", 12)]),
    ("SELECT x.count FROM (SELECT count(*) FROM loans) x", [(2,)]), ("SELECT x.n FROM (VALUES (1, 2)) AS x(m, n)", [(2,)]), ("SELECT x.b FROM (SELECT id, name FROM customers) AS x(a, b) WHERE x.a = 2", [("Bo",)]),
    ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT n.i + 1 FROM n WHERE n.i < 3) SELECT max(n.i) FROM n", [(3,)]), ("SELECT customers.name FROM customers WHERE customers.id = 1", [("Ann",)]),
    ("SELECT t.id FROM (SELECT l.* FROM loans l) t WHERE t.amount > 6", [(2,)]), ("SELECT lower('ÄB') || 'c', count(*) FROM public.loans", None), ("SELECT born FROM customers ORDER BY id", [("infinity",), ("0044-03-15 BC",)])])
def test_honest_derived_tables_are_answered(hostile_schema, sql, rows):
    found = hostile_schema.query(sql).rows
    assert found if rows is None else found == rows


def test_a_typed_text_keeps_its_place_before_a_cast(hostile_schema):
    with pytest.raises(UsageError, match="into brackets"): hostile_schema.query("SELECT DATE '2024-05-05'::timestamp")
    [(moment,)] = hostile_schema.query("SELECT (DATE '2024-05-05')::timestamp").rows
    assert str(moment) == "2024-05-05 00:00:00"


def test_a_broken_view_is_left_out(tmp_path):
    with closing(sqlite3.connect(tmp_path / "v.db")) as connection: connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE VIEW broken AS SELECT nosuch FROM t; CREATE VIEW gone AS SELECT * FROM missing")
    database = Database(tmp_path / "v.db")
    assert list(database.schema.columns) == ["t"] and database.query("SELECT a FROM t").rows == [(1,)]


def test_sqlite_never_takes_a_misspelt_name_for_a_text(lite):
    database = Database(str(lite), tables=["loans"])
    column = next(iter(database.query("SELECT * FROM loans LIMIT 1").frame()))
    assert database.query(f'SELECT "{column}" AS "x" FROM loans ORDER BY "x" LIMIT 1').rows      # real names and aliases may be quoted
    for sql in (f'SELECT "{column}x" FROM loans', f"SELECT count(*) FROM loans WHERE \"{column}x\" = 'a'"):
        with pytest.raises(UsageError, match="does not exist, and SQLite would take it for a text"): database.query(sql)
