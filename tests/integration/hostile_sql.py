"""Statements that must not run, one a line: what every database knows, what one of them knows, and what only costs too much."""

BOTH = r"""
INSERT INTO loans VALUES (9, 9, 9)
INSERT INTO loans SELECT * FROM loans
UPDATE loans SET amount = 0
DELETE FROM loans
DELETE FROM loans RETURNING *
DROP TABLE loans
DROP TABLE IF EXISTS loans; SELECT 1
CREATE TABLE x AS SELECT * FROM loans
CREATE VIEW x AS SELECT 1
CREATE TEMP TABLE x (a INTEGER)
CREATE INDEX x ON loans (amount)
ALTER TABLE loans ADD COLUMN x INTEGER
ALTER TABLE loans RENAME TO gone
TRUNCATE loans
TRUNCATE TABLE loans CASCADE
MERGE INTO loans USING customers ON true WHEN MATCHED THEN DELETE
BEGIN
BEGIN; DELETE FROM loans; COMMIT
COMMIT
ROLLBACK
SAVEPOINT x
RELEASE x
END
VACUUM
ANALYZE
REINDEX
EXPLAIN SELECT * FROM loans
EXPLAIN ANALYZE DELETE FROM loans
EXPLAIN QUERY PLAN SELECT 1
SELECT 1; SELECT 2
SELECT 1; DELETE FROM loans
SELECT 1;DELETE FROM loans;--
SELECT * FROM loans; DROP TABLE loans; --
;;SELECT 1; DELETE FROM loans
/* a comment */ DELETE FROM loans
-- SELECT 1
-- a comment \n DELETE FROM loans
/**/DELETE/**/FROM/**/loans
/* /* nested */ */ DELETE FROM loans
SELECT 1 /* ; */ ; /* */ DELETE FROM loans
SELECT/*!50000 1*/; DELETE FROM loans
SELECT 1 -- \n ; DELETE FROM loans
SELECT ';' ; DELETE FROM loans
SELECT '''; DELETE FROM loans; --'; DELETE FROM loans
SELECT 'a\'; DELETE FROM loans; --
SELECT "a\"; DELETE FROM loans; --
SELECT $$ a $$; DELETE FROM loans
SELECT E'\''; DELETE FROM loans; --'
SELECT U&'\0027'; DELETE FROM loans
ＳＥＬＥＣＴ 1
SELECT１
ＤＥＬＥＴＥ FROM loans
DEL\u0045TE FROM loans
SELECT 1\u037e DELETE FROM loans
SELECT 1； DELETE FROM loans
SELECT * FROM lоans
\ufeffDELETE FROM loans
\u200bDELETE FROM loans
SELECT 1\u0000; DELETE FROM loans
SELECT '\u0000'
WITH x AS (DELETE FROM loans RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO loans VALUES (9, 9, 9) RETURNING *) SELECT * FROM x
WITH x AS (UPDATE loans SET amount = 0 RETURNING *) SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM loans
WITH x AS (SELECT 1) INSERT INTO loans SELECT 9, 9, 9
WITH x AS (SELECT 1) UPDATE loans SET amount = 0
WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x) DELETE FROM loans
SELECT * FROM (DELETE FROM loans RETURNING *) AS x
SELECT (DELETE FROM loans RETURNING id)
SELECT * INTO x FROM loans
SELECT * INTO TEMP x FROM loans
SELECT id INTO OUTFILE '/tmp/x' FROM loans
SELECT * FROM loans FOR UPDATE
SELECT * FROM loans FOR SHARE NOWAIT
SELECT * FROM loans LIMIT 1 FOR NO KEY UPDATE
TABLE loans
VALUES (1)
SHOW TABLES
SHOW ALL
DESCRIBE loans
USE other
SET x = 1
RESET ALL
CALL x()
EXECUTE x
PREPARE x AS DELETE FROM loans
DEALLOCATE ALL
DECLARE x CURSOR FOR SELECT 1
FETCH ALL FROM x
LOCK TABLE loans
GRANT ALL ON loans TO PUBLIC
REVOKE ALL ON loans FROM PUBLIC
COMMENT ON TABLE loans IS 'x'
LOAD 'x'
ATTACH DATABASE 'x.db' AS x
DETACH DATABASE main
PRAGMA writable_schema = 1
COPY loans TO '/tmp/x'
COPY loans FROM PROGRAM 'id'
COPY (SELECT * FROM loans) TO PROGRAM 'cat > /tmp/x'
SELECT * FROM secrets
SELECT count(*) FROM secrets
SELECT * FROM "secrets"
SELECT * FROM main.secrets
SELECT * FROM public.secrets
SELECT * FROM loans, secrets
SELECT * FROM loans JOIN secrets ON true
SELECT (SELECT word FROM secrets)
SELECT * FROM loans WHERE id IN (SELECT id FROM secrets)
SELECT * FROM loans WHERE EXISTS (SELECT 1 FROM secrets)
SELECT * FROM loans ORDER BY (SELECT word FROM secrets)
SELECT 1 UNION SELECT word FROM secrets
SELECT id, word, 1 FROM secrets UNION ALL SELECT 1, 2, 3 FROM loans
WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets
SELECT * FROM (WITH secrets AS (SELECT 1) SELECT 1) AS x, secrets
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
WITH loans AS (SELECT * FROM secrets) SELECT * FROM loans
WITH a AS (WITH secrets AS (SELECT 1 AS word) SELECT * FROM secrets) SELECT a.word, s.word FROM a, secrets AS s
SELECT * FROM (SELECT * FROM secrets) AS x
SELECT CASE WHEN true THEN (SELECT word FROM secrets) END
SELECT * FROM loans AS secrets, secrets AS loans
SELECT * FROM other.loans
SELECT * FROM a.b.loans
SELECT random_function(1)
SELECT sleep(10)
SELECT load_file('/etc/passwd')
SELECT system('id')
SELECT xp_cmdshell('id')
SELECT benchmark(1000000000, 1)
SELECT ?
SELECT :name
SELECT @x
SELECT $1
SELECT * FROM loans TABLESAMPLE SYSTEM (1)
SELECT
SELECT FROM WHERE
(((
SELECT ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
hello
'
"
--
/*
DROP
{{7*7}}
SELECT 'x
""".strip("\n").split("\n")

SQLITE = r"""
PRAGMA query_only = OFF
PRAGMA journal_mode = WAL
PRAGMA hard_heap_limit = 1
pragma hard_heap_limit=1
EXPLAIN PRAGMA hard_heap_limit = 1
PRAGMA temp_store_directory = '/tmp'
PRAGMA user_version = 9
PRAGMA main.user_version = 9
PRAGMA table_info(loans)
/**/PRAGMA/**/user_version=9
SELECT * FROM pragma_table_info('loans')
SELECT * FROM pragma_table_list
SELECT * FROM pragma_database_list
SELECT * FROM pragma_user_version
SELECT file FROM pragma_database_list()
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT * FROM main.sqlite_master
SELECT * FROM sqlite_temp_master
SELECT * FROM sqlite_sequence
SELECT * FROM sqlite_stat1
SELECT * FROM dbstat
SELECT * FROM sqlite_dbpage
SELECT * FROM json_each('[1]')
SELECT * FROM generate_series(1, 3)
SELECT * FROM fts3tokenize
SELECT load_extension('x')
SELECT load_extension('x', 'y') FROM loans
SELECT writefile('x', 'y')
SELECT readfile('/etc/passwd')
SELECT edit('x')
SELECT fts3_tokenizer('x')
SELECT randomblob(1000000000)
SELECT zeroblob(1000000000)
SELECT length(zeroblob(2000000000))
SELECT hex(randomblob(100000000))
SELECT printf('%1000000000d', 1)
SELECT format('%.*c', 1000000000, 'x')
SELECT sqlite_version()
SELECT sqlite_compileoption_get(1)
SELECT last_insert_rowid()
SELECT changes()
SELECT quote(zeroblob(100000000))
SELECT replicate('x', 1000000000)
SELECT * FROM temp.loans
SELECT * FROM 'secrets'
SELECT * FROM [secrets]
SELECT * FROM `secrets`
SELECT * FROM SECRETS
SELECT * FROM "Secrets"
SELECT * FROM Main."secrets"
SELECT * FROM loans INDEXED BY x
REPLACE INTO loans VALUES (1, 1, 1)
INSERT OR REPLACE INTO loans VALUES (1, 1, 1)
CREATE VIRTUAL TABLE x USING fts5(a)
CREATE TRIGGER x AFTER INSERT ON loans BEGIN DELETE FROM customers; END
VACUUM INTO '/tmp/stolen.db'
ATTACH 'file:x?mode=rwc' AS x
attach ':memory:' as x
SELECT * FROM loans WHERE word MATCH 'x'
SELECT 1 WHERE 'a' REGEXP 'b'
""".strip("\n").split("\n")

POSTGRES = r"""
SELECT pg_sleep(10)
SELECT pg_sleep_for('10 s')
SELECT pg_catalog.pg_sleep(10)
SELECT * FROM pg_sleep(10)
SELECT * FROM loans WHERE pg_sleep(10) IS NULL
SELECT CASE WHEN pg_sleep(10) IS NULL THEN 1 END
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT * FROM pg_ls_logdir()
SELECT pg_stat_file('/etc/passwd')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
SELECT lo_unlink(1)
SELECT lo_get(1)
SELECT dblink('host=127.0.0.1', 'DELETE FROM loans')
SELECT dblink_exec('DELETE FROM loans')
SELECT nextval('ticket')
SELECT setval('ticket', 99)
SELECT currval('ticket')
SELECT set_config('transaction_read_only', 'off', false)
SELECT set_config('statement_timeout', '0', false)
SELECT current_setting('data_directory')
SELECT pg_terminate_backend(pg_backend_pid())
SELECT pg_cancel_backend(1)
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_notify('x', 'y')
SELECT pg_logical_emit_message(true, 'x', 'y')
SELECT pg_create_restore_point('x')
SELECT pg_switch_wal()
SELECT pg_file_write('x', 'y', false)
SELECT txid_current()
SELECT pg_export_snapshot()
SELECT query_to_xml('DELETE FROM loans', true, true, '')
SELECT table_to_xml('secrets', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT cursor_to_xml('x', 1, true, true, '')
SELECT ts_stat('SELECT word FROM secrets')
SELECT generate_series(1, 1000000000)
SELECT * FROM generate_series(1, 1000000000)
SELECT unnest(ARRAY[1, 2])
SELECT repeat('x', 1000000000)
SELECT lpad('x', 1000000000)
SELECT rpad('x', 1000000000, 'y')
SELECT format('%1000000000s', 1)
SELECT array_fill(1, ARRAY[100000000])
SELECT regexp_replace(repeat('a', 100), '(a*)*b', 'x')
SELECT 'aaaa' ~ '(a*)*b'
SELECT version()
SELECT inet_server_addr()
SELECT has_table_privilege('secrets', 'SELECT')
SELECT pg_get_viewdef('rich')
SELECT * FROM pg_shadow
SELECT * FROM pg_user
SELECT * FROM pg_authid
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_stat_activity
SELECT * FROM pg_settings
SELECT * FROM pg_hba_file_rules
SELECT * FROM information_schema.tables
SELECT * FROM hidden.treasure
SELECT * FROM (WITH pg_shadow AS (SELECT 1) SELECT 1) AS x, pg_shadow
SELECT 'secrets'::regclass
SELECT 16384::regclass
SELECT 'x'::public.word
SELECT CAST('x' AS pg_catalog.regproc)
SELECT loans.lo_import FROM loans
SELECT steal()
SELECT public.steal()
SELECT (loans).steal FROM loans
SELECT loans.steal FROM loans
SELECT * FROM steal()
SELECT * FROM ROWS FROM (steal())
SELECT * FROM loans, LATERAL steal()
SELECT * FROM XMLTABLE('/x' PASSING '<x/>' COLUMNS a TEXT PATH 'a')
SELECT * FROM ONLY (secrets)
SELECT * FROM ONLY secrets
SELECT 1 OPERATOR(pg_catalog.+) 1
SELECT word COLLATE "C" FROM secrets
SELECT U&"\0073ecrets"
SELECT * FROM U&"s\0065crets"
SELECT * FROM "public"."secrets"
DO $$ BEGIN DELETE FROM loans; END $$
DO LANGUAGE plpgsql 'BEGIN DELETE FROM loans; END'
CREATE FUNCTION x() RETURNS int AS 'SELECT 1' LANGUAGE sql
CREATE EXTENSION dblink
CREATE ROLE x SUPERUSER
ALTER SYSTEM SET fsync = off
ALTER ROLE owner RENAME TO x
SET TRANSACTION READ WRITE
SET SESSION AUTHORIZATION owner
SET statement_timeout = 0
RESET statement_timeout
BEGIN READ WRITE
START TRANSACTION READ WRITE
LISTEN x
NOTIFY x
CHECKPOINT
REFRESH MATERIALIZED VIEW x
IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z
SECURITY LABEL ON TABLE loans IS 'x'
""".strip("\n").split("\n")

# These may run or be refused; what counts is that they end in time and that what comes back is small
SQLITE_COSTLY = r"""
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT * FROM n
WITH RECURSIVE n AS (SELECT 1 AS i UNION SELECT i + 1 FROM n) SELECT max(i) FROM n
WITH RECURSIVE n AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM n) SELECT s FROM n
WITH RECURSIVE n AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM n) SELECT max(length(s)) FROM n
WITH RECURSIVE n AS (SELECT 'x' AS s UNION ALL SELECT replace(s, 'x', 'xxxxxxxxxx') FROM n) SELECT count(s) FROM n
SELECT count(*) FROM loans a, loans b, loans c, loans d, loans e
SELECT * FROM loans a, loans b, loans c, loans d
SELECT a.id FROM loans a, loans b, loans c, loans d ORDER BY random_id(1)
SELECT a.id FROM loans a, loans b, loans c ORDER BY a.amount * b.amount, c.amount DESC
SELECT DISTINCT a.amount * b.amount + c.amount FROM loans a, loans b, loans c
SELECT group_concat(a.id || b.id || c.id) FROM loans a, loans b, loans c
SELECT group_concat(long, '') FROM customers, loans
SELECT long FROM customers, loans
SELECT replace(replace(replace(long, 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa'), 'a', 'aaaaaaaaaaaaaaaa') FROM customers
SELECT long LIKE '%a%a%a%a%a%a%a%a%a%a%a%a%b' FROM customers
SELECT long GLOB '*a*a*a*a*a*a*a*a*a*a*a*a*b' FROM customers
SELECT sum(a.amount) OVER (ORDER BY b.id) FROM loans a, loans b, loans c
SELECT * FROM loans a LEFT JOIN loans b ON a.id <> b.id LEFT JOIN loans c ON b.id <> c.id ORDER BY 1, 2, 3
SELECT max((SELECT count(*) FROM loans b, loans c WHERE b.id > a.id)) FROM loans a, loans d
SELECT round(1e308 * 10), 9223372036854775807 + 1, 1 / 0, 1 % 0
""".strip("\n").split("\n")

POSTGRES_COSTLY = [line for line in SQLITE_COSTLY if "group_concat" not in line and "GLOB" not in line] + r"""
SELECT string_agg(long, '') FROM customers, loans
SELECT string_agg(a.long || b.long, '') FROM customers a, customers b, loans c, loans d
SELECT array_agg(a.id) FROM loans a, loans b, loans c
SELECT 10 ^ 100000
SELECT power(10.0, 100000)
SELECT CAST('1e100000' AS numeric)
SELECT exp(99999.0), 9.9 ** 99999
SELECT long SIMILAR TO '(a*)*b' FROM customers
""".strip("\n").split("\n")

BOMBS = ["SELECT " + "NOT " * 2300 + "true", "SELECT " + "- " * 4000 + "1", "SELECT " + "(" * 3000 + "1" + ")" * 3000, "SELECT " + "CASE WHEN " * 900 + "1", "SELECT 1" + "+1" * 4500, "SELECT 1" + " UNION SELECT 1" * 600,
         "SELECT '" + "a" * 100_000 + "'", "SELECT " + "a.b." * 2000 + "c FROM loans", "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(700)), "SELECT 1 WHERE 1 IN (" + ",".join(["1"] * 4000) + ")",
         "SELECT " + "abs(" * 55 + "1" + ")" * 55, "SELECT * FROM loans WHERE " + " OR ".join(f"id = {i}" for i in range(600)), "SELECT " + "[" * 5000, "SELECT " + "$$" * 999, "SELECT " + "/*" * 3000, "SELECT 1" + " -- x\n" * 1000,
         "SELECT * FROM " + ", ".join(f"loans a{i}" for i in range(70)), "SELECT * FROM " + " JOIN ".join(f"loans a{i}" for i in range(40)) + " USING (id)",
         "WITH a AS (SELECT 1 AS i FROM loans x, loans y, loans z), b AS (SELECT 1 AS i FROM a x, a y, a z), c AS (SELECT 1 AS i FROM b x, b y, b z) SELECT count(*) FROM c x, c y, c z"]


def literal(line: str) -> str:
    "Backslash-u and backslash-n written out"
    for code in ("037e", "ufeff", "200b", "0000", "0045"): line = line.replace("\\u" + code.removeprefix("u"), chr(int(code.removeprefix("u"), 16)))
    return line.replace("\\n", "\n")


REFUSED = {"sqlite": [literal(line) for line in BOTH + SQLITE], "postgres": [literal(line) for line in BOTH + POSTGRES]}
COSTLY = {"sqlite": SQLITE_COSTLY + BOMBS, "postgres": POSTGRES_COSTLY + BOMBS}
