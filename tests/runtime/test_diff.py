"""Comparing two configs over the same events."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from gateway.cli import main
from gateway.cli.commands.diff import diff
from gateway.config.load import load
from gateway.events.json_diff import Change
from gateway.runtime.diff import FAIL_ON, Example, Job, Report, Tally, failures, run
from gateway.runtime.diff.compare import MOST_LOOKED_AT
from gateway.runtime.diff.plan import _HOW, plan_of
from gateway.runtime.diff.report import MOST_CHANGES, MOST_EXAMPLES
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_http import basic, exchange, request

NOW = 1_795_626_000_000
HEAD = """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "k"
[transforms.privacy]
type = "mask"
"""
CRM = '[destinations.crm]\ntype = "mixpanel"\ntoken = "a-secret-project-token"\n'
FILES = '[destinations.files]\ntype = "file"\npath = "out"\n'
NO_NOISE = (
    '[transforms.quiet]\ntype = "filter"\ndrop = \'event = "Noise"\'\ndestinations = ["crm"]\n'
)
COUNT = 1200
"""Events in the queue: every third is noise, every fourth an alias."""


def event(number: int) -> dict[str, Any]:
    name = "Noise" if number % 3 == 0 else "Order Completed"
    made = {"type": "track", "event": name, "userId": f"u-{number}", "messageId": f"m-{number:04d}"}
    if number % 4 == 0:
        made |= {"type": "alias", "event": None, "previousId": f"old-{number}"}
    made["properties"] = {"number": number}
    return made


NOISE = [n for n in range(COUNT) if n % 3 == 0 and n % 4]
TRACKS = [n for n in range(COUNT) if n % 4]


@pytest.fixture(name="queue", scope="module")
def _queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a queue, whose gateway has ended."""
    folder = tmp_path_factory.mktemp("diff")
    with GatewayProcess(folder, HEAD) as gateway:
        for first in range(0, COUNT, 200):
            batch = [event(n) for n in range(first, first + 200)]
            body = json.dumps({"batch": batch}).encode()
            (answer,) = exchange(gateway.url, request(body, basic("k"), path=b"/v1/batch"))
            assert answer.status == 200
        gateway.stop()
    return folder


def compared(folder: Path, old: str, new: str, **options: Any) -> Report:
    """Compares two configs, which differ after a common beginning."""
    for name, text in (("old", old), ("new", new)):
        (folder / f"{name}.toml").write_text(text if "[sources" in text else HEAD + text)
    options = {"now_ms": NOW, "processes": 1, **options}
    return run(Job(old=folder / "old.toml", new=folder / "new.toml", **options))


def one(report: Report, id_: str = "crm") -> Tally:
    return next(tally for tally in report.destinations if tally.id == id_)


def test_the_same_config_differs_in_nothing(queue: Path) -> None:
    """Equal configs have no difference; neither have configs that differ only in how they send."""
    how = "batch = { max_events = 7 }\ntimeout_seconds = 3.0\n"
    report = compared(queue, CRM + FILES, CRM + how + FILES)
    assert [(t.id, t.status, t.unchanged) for t in report.destinations] == [
        ("crm", "same", COUNT),
        ("files", "same", COUNT),
    ]
    assert (report.events, report.intake.unchanged, report.notices) == (COUNT, COUNT, [])


def test_what_is_dropped_has_its_rule(queue: Path) -> None:
    """An event counts as dropped, with its rule, only if the old config sent it."""
    tally = one(compared(queue, CRM, CRM + NO_NOISE))
    assert tally.dropped == {"quiet": len(NOISE)}
    assert (tally.changed, tally.sent) == (0, {})
    assert tally.unchanged == COUNT - len(NOISE)
    assert [(e.kind, e.name, e.detail) for e in tally.examples] == [
        ("dropped", "Noise", "quiet")
    ] * 3


def test_what_is_sent_anew_had_its_rule(queue: Path) -> None:
    """An event counts as sent anew, with the old rule, only if the old config did not send it."""
    tally = one(compared(queue, CRM + NO_NOISE, CRM))
    assert (tally.sent, tally.dropped) == ({"quiet": len(NOISE)}, {})


def test_what_is_changed_is_named_by_path(queue: Path) -> None:
    """A changed event counts by itself, even if its request has others, with the changed path."""
    mapping = 'mapping = [{ if = \'userId = "u-7"\', set = { "properties.from" = "x" } }]\n'
    tally = one(compared(queue, CRM, CRM + mapping))
    assert (tally.changed, tally.unchanged) == (1, COUNT - 1)
    assert tally.paths == {"body[].properties.from": 1}
    (example,) = tally.examples
    assert (example.message_id, example.changes[0].now) == ("m-0007", "x")


def test_options_of_the_destination_are_seen_in_what_it_sends(queue: Path) -> None:
    """Options of a destination show in what it sends, even where all of that changes."""
    tally = one(compared(queue, CRM, CRM + "send_ip = false\n"))
    assert (tally.changed, tally.unchanged) == (0, COUNT)
    tally = one(compared(queue, CRM, CRM + 'url = "http://127.0.0.1:9"\n'))
    assert (tally.changed, tally.paths) == (len(TRACKS), {"url": len(TRACKS)})


def test_a_new_secret_is_a_change_that_shows_nothing(queue: Path) -> None:
    """A new secret counts as a change, and the report shows neither secret."""
    report = compared(queue, CRM, CRM.replace("a-secret", "another-secret"))
    tally = one(report)
    assert (tally.changed, tally.masked, tally.paths) == (len(TRACKS), len(TRACKS), {})
    assert "secret" not in repr(report)


def test_a_refusal_is_no_delivery(queue: Path) -> None:
    """An event that the new mapping refuses counts as dropped, with the reason."""
    only_new = CRM + 'identity = "original"\n'
    tally = one(compared(queue, only_new, CRM))
    reason = 'Permanent: alias has no meaning with identity = "simplified"'
    assert tally.dropped == {reason: COUNT - len(TRACKS)}


def test_a_destination_comes_and_goes(queue: Path) -> None:
    """All events of an added destination are sent anew; those of a removed one are dropped."""
    report = compared(queue, FILES, CRM)
    assert [(t.id, t.status) for t in report.destinations] == [
        ("files", "removed"),
        ("crm", "added"),
    ]
    missing = "there is no such destination"
    assert one(report, "files").dropped == {missing: COUNT}
    assert one(report).sent == {missing: len(TRACKS)}


def test_events_of_which_nothing_is_said_are_no_loss(queue: Path) -> None:
    """An event for which a destination sends nothing is not lost when the destination goes."""
    slack = (
        '[destinations.crm]\ntype = "slack"\nwebhook_url = "http://127.0.0.1:9/s"\n'
        'when = \'userId = "u-9" or userId = "u-10"\'\n'
    )
    tally = one(compared(queue, slack, slack + NO_NOISE))
    assert (tally.dropped, tally.unchanged) == ({"quiet": 1}, COUNT - 1)


def test_a_new_intake_transform_runs_over_what_is_stored(queue: Path) -> None:
    """Only new intake transforms run over stored events; the report names the limits of that."""
    drop = '[transforms.less]\ntype = "filter"\ndrop = \'event = "Noise"\'\n'
    report = compared(queue, FILES, drop + FILES)
    assert report.intake.dropped == {"filtered:less": len(NOISE)}
    assert one(report, "files").dropped == {"filtered:less": len(NOISE)}
    assert report.notices == ["transforms.less is new: it runs over the events as they are stored"]
    gone = compared(queue, FILES, HEAD.replace('type = "mask"', 'type = "mask"\nenabled = false'))
    assert "transforms.privacy is gone" in gone.notices[0]
    changed = compared(queue, FILES, HEAD + 'skip = ["context.ip"]\n' + FILES)
    assert "transforms.privacy is changed" in changed.notices[0]
    assert not changed.intake.differs


def test_a_file_goes_through_intake_on_both_sides(tmp_path: Path) -> None:
    """Events of a file pass intake with both configs; lines that are no events are counted."""
    lines = [json.dumps(event(n)) for n in range(20)] + ["", "{oops", '{"type":"track"}']
    (tmp_path / "events.ndjson").write_text("\n".join(lines))
    card = {**event(7), "messageId": "card", "properties": {"card": "4111 1111 1111 1111"}}
    with (tmp_path / "events.ndjson").open("a") as file:
        file.write("\n" + json.dumps(card) + "\n")
    plain = HEAD.partition("[transforms")[0]
    report = compared(tmp_path, plain + FILES, HEAD + FILES, file=tmp_path / "events.ndjson")
    assert (report.events, report.unreadable, report.stored) == (22, 1, False)
    assert (report.intake.changed, report.intake.unchanged) == (1, 21)
    assert report.intake.paths == {"properties.card": 1}
    tally = one(report, "files")
    assert (tally.status, tally.changed, tally.unchanged) == ("same", 1, 21)
    assert tally.paths == {"content.properties.card": 1}
    assert not (tmp_path / "data").exists()
    options = {"file": tmp_path / "events.ndjson", "limit": 5}
    assert compared(tmp_path, HEAD + FILES, HEAD + FILES, **options).events == 5


@pytest.mark.parametrize(
    ("of_group", "more", "status", "rerun"),
    [
        ("", "", "same", frozenset()),
        ("stamp = true\n", "", "compared", frozenset()),
        ("", '[transforms.part]\ntype = "sample"\ngroup = "g"\n', "same", {"part"}),
    ],
)
def test_another_share_of_a_group_is_a_difference_where_it_matters(
    tmp_path: Path, of_group: str, more: str, status: str, rerun: frozenset[str]
) -> None:
    """A group's new share changes stamped events and samples of the group, and nothing else."""
    configs = []
    for percent in (5, 50):
        path = tmp_path / f"{percent}.toml"
        path.write_text(f"{HEAD}{more}[groups.g]\n{of_group}percent = {percent}\n{FILES}")
        configs.append(load(path))
    plan = plan_of(configs[0], configs[1], stored=True)
    assert (plan.destinations, plan.rerun) == ({"files": status}, rerun)


def test_processes_find_what_one_finds(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes find the same counts as one."""
    monkeypatch.setattr("gateway.runtime.diff.job.LEAST_APART", 1)
    seen: list[tuple[int, int]] = []
    mapping = 'mapping = [{ if = \'event = "Noise"\', set = { "properties.from" = "x" } }]\n'
    alone = compared(queue, CRM + FILES, CRM + mapping)
    job = Job(old=queue / "old.toml", new=queue / "new.toml", now_ms=NOW, processes=2)
    together = run(job, lambda done, total: seen.append((done, total)))
    for report in (alone, together):
        for tally in report.destinations:
            tally.examples.clear()
    assert together == alone
    assert one(alone).changed == len(NOISE)
    assert seen[-1] == (COUNT, COUNT)


def test_the_newest_events_come_first(queue: Path) -> None:
    """A limit leaves out the oldest events; a moment leaves out all before it."""
    for limit in (1, 200, 530):  # of requests of 200 events
        assert compared(queue, CRM, CRM, limit=limit).events == limit
    other = CRM.replace("[dest", '[transforms.none]\ntype = "filter"\ndrop = "exists(type)"\n[dest')
    (example,) = one(compared(queue, CRM, other, limit=1)).examples
    assert example.message_id == f"m-{COUNT - 1}"
    assert compared(queue, CRM, CRM, since_ms=NOW + 10**12).events == 0


def test_a_file_that_options_name_is_looked_at(tmp_path: Path) -> None:
    """A transform with a new file of the same name counts as changed."""
    for name, rules in (("a", "{}"), ("b", '{"x": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text(rules)
        text = HEAD + '[transforms.plan]\ntype = "plan"\nfile = "plan.json"\n' + FILES
        (tmp_path / name / "config.toml").write_text(text)
    old, new = (load(tmp_path / name / "config.toml") for name in ("a", "b"))
    assert plan_of(old, new, stored=True).rerun == {"plan"}
    assert plan_of(old, old, stored=True).rerun == frozenset()


def test_failures_are_those_that_were_asked_for() -> None:
    """A caller chooses by name which differences are failures."""
    none = Report(1, 0, True, Tally(""), [Tally("a")], [])
    assert failures(none, FAIL_ON) == []
    tally = Tally("a", "added", changed=1, dropped={"r": 1}, sent={"r": 1})
    gone = Tally("b", "removed")
    report = Report(1, 0, True, Tally("", changed=1), [tally, gone], [])
    assert failures(report, FAIL_ON) == list(FAIL_ON)
    assert failures(report, ["removed", "dropped"]) == ["dropped", "removed"]
    assert failures(report, []) == []


def command(folder: Path, *words: str) -> Result:
    names = ["--config", str(folder / "new.toml"), "--against", str(folder / "old.toml")]
    return CliRunner().invoke(main, ["diff", *names, *words])


def test_the_command(queue: Path) -> None:
    """The command prints a table or JSON, and exits with 1 for the differences in --fail-on."""
    compared(queue, CRM + FILES, CRM + NO_NOISE + FILES)
    before = {path: path.read_bytes() for path in (queue / "data").rglob("*") if path.is_file()}
    done = command(queue)
    assert done.exit_code == 0, done.output
    assert f"{COUNT:,} stored events through both configs" in done.output
    assert f"{len(NOISE)} no longer sent, by quiet" in done.output
    assert "the same in both" in done.output
    assert command(queue, "--fail-on", "changed,sent").exit_code == 0
    failed = command(queue, "--fail-on", "changed, dropped", "--json")
    assert failed.exit_code == 1
    assert failed.stderr.strip().endswith("failed: dropped")
    found = json.loads(failed.stdout)
    assert found["destinations"][0]["dropped"] == {"quiet": len(NOISE)}
    assert before == {p: p.read_bytes() for p in (queue / "data").rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--fail-on", "all"], "'all' is none of dropped, sent, changed"),
        (["-d", "no"], "there is no destination 'no'; there are: crm"),
        (["--since", "1h", "--file", "new.toml"], "--since is for the events of the queue"),
        ([], "there is no queue in"),
    ],
)
def test_what_cannot_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], text: str
) -> None:
    """A comparison that cannot run exits with 2 and says what to do."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        (tmp_path / f"{name}.toml").write_text(HEAD + CRM)
    done = command(tmp_path, *words)
    assert (done.exit_code, text in done.output) == (2, True), done.output


PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "diff.md").read_text(encoding="utf-8")


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configs and events of the page give the page's output."""
    monkeypatch.setenv("MIXPANEL_TOKEN", "0123456789abcdef")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(?:toml|json|text)\n(.*?)```", PAGE, re.DOTALL)
    for name, text in zip(("config.toml", "new.toml", "events.ndjson"), blocks, strict=False):
        (tmp_path / name).write_text(text)
    arguments = ["diff", "--config", "new.toml", "--file", "events.ndjson"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    shown = [line.rstrip() for line in done.stdout.splitlines()]
    assert shown == blocks[3].splitlines()


@pytest.mark.parametrize("struct", [Report, Tally, Example, Change])
def test_every_key_and_option_is_documented(struct: Any) -> None:
    """The page names each key of the report, each kind of failure, and each option."""
    names = [field.encode_name for field in structs.fields(struct)] + list(FAIL_ON)
    names += [p.opts[-1] for p in diff.params if p.opts[-1] not in ("--destination", "--config")]
    assert [name for name in names if f"`{name}" not in PAGE] == []
    assert "`-d ID`" in PAGE
    assert f"up to {MOST_CHANGES} `changes`" in PAGE
    assert f"first {MOST_LOOKED_AT:,} changed events" in PAGE
    assert MOST_EXAMPLES == 3
    assert [key for key in _HOW if f"`{key}`" not in PAGE] == []
