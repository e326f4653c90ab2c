"""SQL of users reads the views and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from headgate_lake import Lake, Query, QueryError, QueryInvalid, QueryRefused, Runner
from headgate_lake.sql.child import CONFIG
from headgate_lake.sql.guard import Refused, tables_of

REFUSED = [
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "COPY events TO '{folder}/copy.parquet'",
    "COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
    "ATTACH '{folder}/manifest.sqlite' AS m",
    "CREATE TABLE t AS SELECT * FROM events",
    "CREATE MACRO f() AS 1",
    "DROP VIEW events",
    "INSERT INTO events VALUES (1)",
    "WITH t AS (INSERT INTO events VALUES (1) RETURNING *) SELECT * FROM t",
    "SET threads = 64",
    "RESET memory_limit",
    "PRAGMA version",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPLAIN SELECT * FROM events",
    "EXPORT DATABASE '{folder}/export'",
    "CHECKPOINT",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "PREPARE p AS SELECT 1",
    "VACUUM",
    "USE system",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM READ_BLOB('{folder}/manifest.sqlite')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM parquet_metadata('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('events')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT (SELECT max(content) FROM read_text('/etc/passwd'))",
    "SELECT * FROM events WHERE event IN (SELECT content FROM read_text('/etc/passwd'))",
    "WITH t AS (FROM read_csv('/etc/passwd')) SELECT * FROM t",
    "SELECT * FROM (DESCRIBE SELECT * FROM read_csv('/etc/passwd'))",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM system.main.duckdb_settings",
    "SELECT * FROM memory.main.events",
    "SELECT current_setting('temp_directory')",
    "SELECT getenv('HOME')",
    "SELECT getvariable('x')",
    "SELECT pg_get_viewdef(0)",
    "SELECT write_log('x')",
    "SELECT pg_sleep(100)",
    "SELECT sum(1) OVER (ORDER BY sleep_ms(1000))",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "NOT " * 3000 + "true",
    "SELECT " + "1+" * 20_000 + "1",
    "SELECT " + "(SELECT " * 300 + "1" + ")" * 300,
]


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config=CONFIG) as connection:
        yield connection


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:40])
def test_all_else_is_refused(parser: duckdb.DuckDBPyConnection, sql: str) -> None:
    """What is not one SELECT over views is refused."""
    with pytest.raises((Refused, duckdb.ParserException)):
        tables_of(parser, sql, trusted=False)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "COPY events TO '{folder}/copy.parquet'",
        "ATTACH '{folder}/manifest.sqlite' AS m",
        "SELECT 1; DROP VIEW events",
        "SELECT * FROM read_blob('{folder}/manifest.sqlite')",
    ],
)
def test_what_is_refused_does_not_run(runner: Runner, shop: Lake, sql: str) -> None:
    """A refused query changes no file and shows none."""
    file = shop.paths()[0]
    before = (file.read_bytes(), sorted(shop.folder.rglob("*.parquet")))
    text = sql.replace("{folder}", str(shop.folder)).replace("{file}", str(file))
    with pytest.raises(QueryRefused):
        runner.run(Query(sql=text))
    assert (file.read_bytes(), sorted(shop.folder.rglob("*.parquet"))) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'https://example.com/x.parquet'",
        "SELECT * FROM pg_class",
        "SELECT * FROM sqlite_master",
        "WITH t AS (SELECT 1) SELECT * FROM u",
    ],
)
def test_other_tables_are_unknown(runner: Runner, shop: Lake, sql: str) -> None:
    """A table that is no view is unknown, also if it is a file or the engine's own."""
    with pytest.raises(QueryInvalid, match="there is no view"):
        runner.run(Query(sql=sql.replace("{file}", str(shop.paths()[0]))))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('{folder}/manifest.sqlite')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM 'https://example.com/x.parquet'",
        "SELECT getenv('HOME')",
    ],
)
def test_the_engine_is_locked_in(runner: Runner, shop: Lake, sql: str) -> None:
    """Even SQL that the guard does not look at opens no other file, and no network."""
    file = shop.paths()[0]
    before = file.read_bytes()
    text = sql.replace("{folder}", str(shop.folder)).replace("{file}", str(file))
    with pytest.raises(QueryError):
        runner.run(Query(sql=text, trusted=True))
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "SELECT 1 -- one",
        "FROM events SELECT count(*)",
        "VALUES (1), (2)",
        "DESCRIBE events",
        "SUMMARIZE SELECT revenue FROM events",
        "WITH events AS (SELECT * FROM events) SELECT count(*) FROM events",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) FROM n",
        "SELECT * FROM events UNION ALL SELECT * FROM events LIMIT 1",
        "SELECT * FROM (PIVOT events ON currency IN ('EUR') USING count(*)) LIMIT 1",
        "SELECT key, value FROM events, json_each(properties) LIMIT 1",
        "SELECT unnest([1, 2]) FROM range(3) QUALIFY row_number() OVER () = 1",
        "SELECT pg_typeof(1), list_transform([1], lambda x: x + 1)",
        "SELECT * FROM events USING SAMPLE 3",
        "SELECT count(*) FROM people JOIN sessions USING (person)",
        "SELECT count(*) FROM events WHERE " + " OR ".join(f"revenue = {n}" for n in range(300)),
    ],
    ids=lambda sql: sql[:40],
)
def test_every_form_of_select_is_accepted(runner: Runner, sql: str) -> None:
    """SELECT is accepted in all its forms, and DESCRIBE and SUMMARIZE, which are SELECTs too."""
    assert runner.run(Query(sql=sql)).rows


def test_a_text_that_is_too_long_is_refused(runner: Runner) -> None:
    """SQL has a longest length."""
    with pytest.raises(QueryRefused, match="longer than 100,000 bytes"):
        runner.run(Query(sql="SELECT '" + "x" * 100_000 + "'"))


def test_the_reason_for_a_refusal_is_marked(runner: Runner) -> None:
    """A refusal names what is refused, and marks it."""
    with pytest.raises(QueryRefused) as error:
        runner.run(Query(sql="SELECT *\nFROM glob('*')"))
    assert str(error.value).endswith("\n  FROM glob('*')\n       ^^^^^^^^^")
    with pytest.raises(QueryRefused, match="only SELECT is accepted, and this is ATTACH"):
        runner.run(Query(sql="ATTACH 'x'"))


def test_environment_variables_are_kept_from_the_process(
    shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of a query does not get the variables of the gateway, which hold secrets."""
    monkeypatch.setenv("VENDOR_SECRET", "hunter2")
    with Runner(shop) as runner:
        runner.run(Query(sql="SELECT 1"))
        child = runner._spares.take()
        try:
            environment = Path(f"/proc/{child.pid}/environ")
            if environment.exists():
                assert b"hunter2" not in environment.read_bytes()
        finally:
            child.close()
