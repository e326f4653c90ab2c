"""``gateway sql``, its shell, and ``POST /admin/sql``."""

from __future__ import annotations

import fcntl
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner, Result

from gateway import AdminError, AdminRequest, ConfigError, ProjectConfig, load_scope
from headgate_lake import Lake, LakeConfig, Limits, Query, Runner
from headgate_lake.columns import COLUMNS
from headgate_lake.sql import admin, views
from headgate_lake.sql.command import sql
from headgate_lake.sql.history import forget, history_of
from headgate_lake.sql.place import moment_in
from headgate_lake.sql.process import Spares
from headgate_lake.sql.shell import Shell, completions, is_complete

Run = Callable[..., Result]


@pytest.fixture
def run(shop: Lake, tmp_path: Path, spares: Spares, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``gateway sql`` on `shop` in a terminal of 80 columns."""
    config = tmp_path / "config.toml"
    config.write_text(
        f"""
        [project]
        time_zone = "Europe/Berlin"
        [sources.web]
        type = "segment"
        write_key = "key"
        [destinations.lake]
        type = "lake"
        path = {json.dumps(str(shop.folder))}
        """
    )
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Spares, "begun", lambda: nullcontext(spares))

    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(sql, [*arguments, "--config", str(config)], input=stdin)

    return call


def test_a_narrow_answer_is_a_table(run: Run) -> None:
    """An answer that fits is a table with numbers to the right, and its time in the zone."""
    text = (
        "SELECT coupon, count(*) AS n, max(ts) AS last FROM order_completed GROUP BY 1 ORDER BY 1"
    )
    lines = [line.rstrip() for line in run(text).output.splitlines()]
    assert lines[:-1] == [
        "coupon   n  last",
        "c0      67  2026-11-10 22:00:00+01:00",
        "c1      67  2026-11-10 20:00:00+01:00",
        "c2      66  2026-11-11 00:00:00+01:00",
    ]
    assert lines[-1].startswith("(3 rows in ")


def test_a_wide_answer_is_records(run: Run) -> None:
    """An answer that is wider than the terminal is a list for each row, without what is NULL."""
    result = run("SELECT * FROM events ORDER BY ts LIMIT 1")
    assert "-- row 1 --" in result.output
    assert "NULL in all rows: name, anonymous_id" in result.output
    assert all(len(line) <= 120 for line in result.output.splitlines())


def test_text_of_events_does_not_act_on_the_terminal(run: Run) -> None:
    """Control characters in data are shown, not sent to the terminal."""
    for style in ((), ("--csv",), ("--json",)):
        result = run("SELECT 'a' || chr(27) || '[2J' || chr(10) || 'b' AS x", *style)
        assert result.exit_code == 0
        assert "\x1b" not in result.output


def test_csv_and_json(run: Run) -> None:
    """Programs get CSV with an empty text for NULL, or JSON with numbers as they are."""
    text = "SELECT 1.50::DECIMAL(5, 2) AS a, NULL AS b, 'x,\"y\"' AS c, '{\"k\": [1]}'::JSON AS d"
    assert run(text, "--csv").output == 'a,b,c,d\n1.50,,"x,""y""","{""k"": [1]}"\n'
    answer = json.loads(run(text, "--json").output)
    assert answer["rows"] == [[1.5, None, 'x,"y"', {"k": [1]}]]
    assert answer["columns"][0] == {"name": "a", "type": "DECIMAL(5,2)"}
    large = run("SELECT 170141183460469231731687303715884105727 AS n", "--json")
    assert json.loads(large.output)["rows"] == [[(1 << 127) - 1]]


def test_range_zone_and_standard_input(run: Run) -> None:
    """Dates are days of the zone, and SQL may come from standard input."""
    text = "SELECT min(ts)::VARCHAR AS first FROM events"
    result = run("--from", "2026-11-05", "--to", "2026-11-06", "--csv", stdin=text)
    assert result.output.splitlines()[1].startswith("2026-11-05 ")
    result = run(text, "--zone", "America/New_York", "--csv")
    assert result.output.splitlines()[1].endswith("-04")


def test_a_cut_answer_says_so(run: Run) -> None:
    """An answer with more rows than asked for says that there are more."""
    assert "there are more" in run("SELECT * FROM range(10)", "--rows", "3").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT revenu FROM events"], 'Did you mean "revenue"'),
        (["DELETE FROM events"], "only SELECT is accepted"),
        (["SELECT 1", "--from", "yesterday"], "'yesterday' is no time"),
        (["SELECT 1", "--zone", "Europe/Berln"], "did you mean 'Europe/Berlin'"),
        (["SELECT 1", "--lake", "other"], "there is no lake 'other'"),
        (["SELECT 1", "--parquet", "/nowhere/x.parquet"], "cannot be written"),
    ],
)
def test_mistakes_are_explained(run: Run, arguments: list[str], message: str) -> None:
    """A mistake is one clear message, and exit code 2."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_times_as_users_write_them() -> None:
    """A date is its midnight in the zone, also on days with a change of the clock."""
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert moment_in(zone, "2026-10-25", now) == datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert moment_in(zone, "2026-10-26", now) == datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert moment_in(zone, "2026-10-26T00:00Z", now) == datetime(2026, 10, 26, tzinfo=UTC)
    assert moment_in(zone, "2d", now) == datetime(2026, 10, 30, tzinfo=UTC)
    with pytest.raises(ConfigError):
        moment_in(zone, "999999d", now)


# The shell


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = history_of(tmp_path)
    path.parent.mkdir()
    return path


def _shell(runner: Runner, history: Path, *lines: str | type[BaseException]) -> Shell:
    given: Iterator[str | type[BaseException]] = iter(lines)

    def read(_: str) -> str:
        line = next(given, EOFError)
        if not isinstance(line, str):
            raise line
        return line

    return Shell(runner, Query(sql=""), "csv", history, read)


def test_the_shell_reads_to_the_semicolon(
    runner: Runner, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A statement has several lines, Ctrl-C drops what was typed, and errors end nothing."""
    _shell(
        runner,
        history,
        "SELECT nope",
        KeyboardInterrupt,
        "SELECT count(*) AS n,",
        "  ';' AS s -- ;",
        "FROM events;",
        "",
        "SELECT revnue FROM events;",
        "\\d",
        "\\d order_completed",
        "\\x",
        "SELECT 7 AS seven;",
    ).run()
    out, err = capsys.readouterr()
    assert "n,s\n200,;\n" in out
    assert "order_completed   Order Completed\n" in out
    assert "coupon,VARCHAR\n" in out
    assert out.endswith("seven\n7\n\n")
    assert "revnue" in err
    assert "there is no command \\x" in err
    assert "nope" not in out + err


def test_the_history_is_private_and_goes_with_an_erasure(runner: Runner, history: Path) -> None:
    """The history is for its owner alone; after an erasure it has new statements only."""
    _shell(runner, history, "SELECT 1", "AS a;", "\\q").run()
    assert history.read_text() == "SELECT 1 AS a;\n"
    assert history.stat().st_mode & 0o777 == 0o600
    shell = _shell(runner, history, "SELECT 2;")
    forget(history.parent.parent)
    shell.run()
    assert history.read_text() == "SELECT 2;\n"


def test_completion_knows_views_columns_and_keywords() -> None:
    """Completion ignores case, and writes keywords as they were begun."""
    names = ["events", "event", "order_completed"]
    assert completions("ev", names) == ["event", "events"]
    assert completions("ORD", names) == ["order_completed", "ORDER"]
    assert completions("sel", names) == ["select"]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("SELECT 1;", True),
        ("SELECT 1; -- done", True),
        ("SELECT ';'", False),
        ('SELECT 1 AS ";"', False),
        ("SELECT 1 -- ;", False),
        ("SELECT 1 /* ; */", False),
        ("SELECT 'it''s;", False),
    ],
)
def test_a_semicolon_in_quotes_ends_nothing(text: str, complete: bool) -> None:
    """A statement ends with a semicolon outside of quotes and comments."""
    assert is_complete(text) is complete


# The API


@pytest.fixture
def ask(
    shop: Lake, limits: Limits, spares: Spares, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Calls the endpoint."""
    runner = Runner(shop, limits, spares)
    monkeypatch.setattr(admin, "_runner", lambda *_: runner)
    scope: Any = SimpleNamespace(
        project=ProjectConfig(),
        identities={},
        tables={"sql": limits},
        configs=lambda _: {"lake": LakeConfig(path=str(shop.folder))},
        path=Path,
        file=Path("config.toml"),
    )

    async def call(**body: Any) -> tuple[Any, dict[str, Any]]:
        request = AdminRequest(path={}, query={}, body=json.dumps(body).encode(), caller="ana")
        (endpoint,) = admin.SQL_AREA.endpoints
        answer = await endpoint.handler(scope, request)
        return json.loads(msgspec.json.encode(answer)), request.detail

    return call


async def test_the_api_answers_and_notes_no_sql(ask: Callable[..., Any]) -> None:
    """The API answers with rows or records; the audit trail gets counts, not the SQL."""
    text = "SELECT count(*) AS n FROM events WHERE revenue < $most"
    values: dict[str, Any] = {"sql": text, "parameters": {"most": 10}, "to": "2026-11-03"}
    answer, noted = await ask(**values)
    assert answer["rows"] == [[2]]
    assert noted == {"rows": 1, "sql_characters": len(text)}
    answer, _ = await ask(**values, format="records")
    assert answer["rows"] == [{"n": 2}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sql": "SELECT nope FROM events"}, 400),
        ({"sql": "COPY events TO 'x'"}, 400),
        ({"sql": "SELECT 1", "zone": "Mars"}, 400),
        ({"sql": "SELECT 1", "lake": "other"}, 400),
        ({"sql": "SELECT 1", "unknown": 1}, 400),
        ({"sql": "SELECT list(range) FROM range(100000000)"}, 422),
    ],
)
async def test_mistakes_have_a_status(
    ask: Callable[..., Any], body: dict[str, Any], status: int
) -> None:
    """A mistake of the caller is 400, a query that takes too much is 422."""
    with pytest.raises(AdminError) as error:
        await ask(**body)
    assert error.value.status == status


async def test_too_many_queries_are_told_when_to_come_back(
    ask: Callable[..., Any], shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no turn comes up, the answer is 503 with a time to wait."""
    runner = Runner(shop, Limits(at_once=1, wait_seconds=0.01))
    monkeypatch.setattr(admin, "_runner", lambda *_: runner)
    lock = shop.folder / "queries" / "slot-0.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AdminError) as error:
            await ask(sql="SELECT 1")
    assert error.value.status == 503
    assert error.value.retry_after_seconds == 5


def test_reading_events_needs_more_than_the_role_read() -> None:
    """Answers can hold personal data, so the role is `operate`, and calls are audited."""
    (endpoint,) = admin.SQL_AREA.endpoints
    assert (endpoint.method, endpoint.role) == ("POST", "operate")


def test_each_limit_is_shown_with_its_default() -> None:
    """config.toml shows each key of [sql] with its default."""
    root = Path(__file__).parents[4]
    text = (root / "config.toml").read_text(encoding="utf-8")
    (table,) = re.findall(r"(?ms)^\[sql\][^\n]*\n(.*?)(?=^(?:# )?\[|^# -)", text)
    shown = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", table))
    assert list(shown) == list(Limits.__struct_fields__)
    assert msgspec.convert(shown, Limits) == Limits()


def test_each_column_is_documented() -> None:
    """The guide names each column of `events`, `people` and `sessions`."""
    guide = (Path(__file__).parents[4] / "docs" / "guide" / "sql.md").read_text(encoding="utf-8")
    made = re.findall(r"AS (\w+)(?=,\n|\n)", views.PEOPLE + views.SESSIONS.split("\n)\n")[1])
    names = {column.name for column in COLUMNS} | set(made)
    assert len(names) > len(COLUMNS) + 10
    assert sorted(name for name in names if f"`{name}`" not in guide) == []


def test_limits_stand_in_config(tmp_path: Path) -> None:
    """The table [sql] has the limits, within bounds."""
    config = tmp_path / "config.toml"
    head = '[sources.web]\ntype = "segment"\nwrite_key = "key"\n[destinations.n]\ntype = "null"\n'
    config.write_text(head + "[sql]\nseconds = 5\nat_once = 1\n")
    limits = load_scope(config).tables["sql"]
    assert (limits.seconds, limits.at_once, limits.threads) == (5.0, 1, 2)
    config.write_text(head + "[sql]\nmemory_bytes = 1\n")
    with pytest.raises(ConfigError, match=r"sql\.memory_bytes"):
        load_scope(config)
