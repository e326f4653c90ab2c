"""config.toml is read, checked and decoded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.components.destination import BatchPolicy
from gateway.config.decode import Table
from gateway.config.load import load
from gateway.config.model import Config
from gateway.config.settings import (
    HOST_KEYS,
    DedupConfig,
    DestinationSettings,
    LogConfig,
    QueueSettings,
    RetryPolicy,
    ServerConfig,
    SourceSettings,
    TransformSettings,
)
from gateway.errors import ConfigError

Load = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Writes a config file and loads it."""

    def load_text(text: str, **environ: str) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ)

    return load_text


def failure(loaded: Load, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(text, **environ)
    message = str(caught.value)
    assert message.startswith("config.toml: ")
    return message.removeprefix("config.toml: ")


# -- what is read --------------------------------------------------------------------------------


def test_an_empty_file_is_all_defaults(loaded: Load, tmp_path: Path) -> None:
    """Every key has a default, except keys of components."""
    config = loaded("")
    assert (config.server, config.dedup, config.log) == (ServerConfig(), DedupConfig(), LogConfig())
    assert config.queue == (QueueSettings(), Table("queue", {}))
    assert (config.sources, config.transforms, config.destinations) == ({}, {}, {})
    assert (config.base_dir, config.data_dir) == (tmp_path, tmp_path / "data")


def test_components_are_split_between_host_and_plugin(loaded: Load) -> None:
    """The gateway takes its own keys of a table and leaves the others to the plugin."""
    config = loaded(
        """
        [queue]
        ack = "memory"
        retention_hours = 1
        [sources.web]
        type = "segment"
        write_key = "k"
        max_depth = 3
        [transforms.mask]
        type = "mask"
        destinations = ["crm"]
        fields = ["a"]
        [destinations.crm]
        type = "webhook"
        url = "https://crm.example"
        start_at = "earliest"
        batch = { max_events = 5 }
        retry = { max_attempts = 2 }
        """
    )
    assert config.queue == (
        QueueSettings(ack="memory"),
        Table("queue", {"retention_hours": 1}),
    )
    assert config.sources["web"] == (
        SourceSettings(type="segment", write_key="k"),
        Table("sources.web", {"max_depth": 3}),
    )
    assert config.transforms["mask"] == (
        TransformSettings(type="mask", destinations=("crm",)),
        Table("transforms.mask", {"fields": ["a"]}),
    )
    settings, table = config.destinations["crm"]
    assert table == Table("destinations.crm", {"url": "https://crm.example"})
    assert settings.retry == RetryPolicy(max_attempts=2)
    assert (settings.start_at, settings.batch) == ("earliest", {"max_events": 5})


def test_the_order_of_the_file_is_kept(loaded: Load) -> None:
    """Transforms run in the order of the file."""
    ids = ["zeta", "alpha", "m1", "beta"]
    text = "".join(f'[transforms.{id_}]\ntype = "mask"\n' for id_ in ids)
    assert list(loaded(text).transforms) == ids


@pytest.mark.parametrize(
    ("written", "keys"),
    [("", ()), ('write_key = "a"', ("a",)), ('write_key = ["a", "b"]', ("a", "b"))],
)
def test_write_keys(loaded: Load, written: str, keys: tuple[str, ...]) -> None:
    """A source has no key, one or several."""
    config = loaded(f'[sources.web]\ntype = "segment"\n{written}')
    assert config.sources["web"][0].write_keys == keys


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the file, not to the working directory; `~` is the user's home."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "config.toml").write_text('data_dir = "../var"')
    monkeypatch.chdir(folder)
    assert load(Path("config.toml"), {}).data_dir == tmp_path / "var"
    monkeypatch.chdir(tmp_path)
    assert load(Path("etc/config.toml"), {}).data_dir == tmp_path / "var"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (folder / "config.toml").write_text('data_dir = "~/var"')
    assert load(folder / "config.toml", {}).data_dir == tmp_path / "home" / "var"


# -- the environment -----------------------------------------------------------------------------


def test_the_environment_fills_in(loaded: Load) -> None:
    """Variables are replaced anywhere in a string, at any depth, several to a string."""
    config = loaded(
        """
        data_dir = "${ROOT}/${NAME}"
        [sources.web]
        type = "segment"
        write_key = ["${KEY}", "b-${KEY}"]
        [destinations.crm]
        type = "webhook"
        headers = { a = { b = "Bearer ${KEY}" } }
        """,
        ROOT="/var",
        NAME="gw",
        KEY="k",
    )
    assert config.data_dir == Path("/var/gw").resolve()
    assert config.sources["web"][0].write_keys == ("k", "b-k")
    assert config.destinations["crm"][1].options == {"headers": {"a": {"b": "Bearer k"}}}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${MISSING:-fallback}", "fallback"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-fallback}", ""),
        ("${KEY:-fallback}", "k"),
        ("$${KEY}", "${KEY}"),
        ("$$${KEY}", "$${KEY}"),
        ("$KEY ${ KEY } ${1} $", "$KEY ${ KEY } ${1} $"),
        ("${QUOTED}", '${KEY} \n "'),
    ],
)
def test_forms_of_variables(loaded: Load, written: str, read: str) -> None:
    """A default applies to an unset variable; a variable's value is not expanded again."""
    config = loaded(f"[sources.web]\ntype = '{written}'", KEY="k", EMPTY="", QUOTED='${KEY} \n "')
    assert config.sources["web"][0].type == read


def test_a_variable_that_is_not_set_is_an_error(loaded: Load) -> None:
    """An unset variable's error names the key and the variable, and says what to do."""
    message = failure(loaded, '[destinations.crm]\ntype = "x"\nheaders = ["a", "${CRM_TOKEN}"]')
    assert message.startswith("destinations.crm.headers[1]: ")
    assert "CRM_TOKEN is not set" in message
    assert "${CRM_TOKEN:-default}" in message


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dedup]\nwindow_hours = inf", "dedup.window_hours: expected a finite number, got inf"),
        ('[transforms.a]\ntype = "sample"\npercent = nan', "transforms.a.percent: expected a fin"),
        ('[groups.a]\nramp = ["1_0%"]', "groups.a: ramp: '1_0%' is no percentage"),
        ("nonsense = 1", "there is no key 'nonsense' here; there are: data_dir, server"),
        ("[server]\nprot = 1", "server: there is no key 'prot' here; did you mean 'port'?"),
        ("[dedup]\nwindow = 1", "dedup: there is no key 'window' here"),
        ("[log]\nlvl = 1", "log: there is no key 'lvl' here; did you mean 'level'?"),
        (
            '[destinations.a]\ntype = "x"\nbatch = { max_event = 1 }',
            "destinations.a.batch: there is no key 'max_event' here; did you mean 'max_events'?",
        ),
        (
            '[destinations.a]\ntype = "x"\nretry = { attempts = 1 }',
            "destinations.a.retry: there is no key 'attempts' here",
        ),
        (
            "[groups.canary]\npercnt = 5",
            "groups.canary: there is no key 'percnt' here; did you mean 'percent'?",
        ),
        (
            '[groups.canary]\nramp = ["5%"]\nguardrails = [{ metrics = "error_rate" }]',
            "groups.canary.guardrails[0]: there is no key 'metrics' here; did you mean 'metric'?",
        ),
        ("[layers.l]\nsalt = 1", "layers.l.salt: Expected `str"),
        ("[groups]\ncanary = 5", "groups[...]: Expected `object`, got `int`"),
        ("[server]\nport = 70000", "server.port: Expected `int` <= 65535"),
        ('[server]\nport = "80"', "server.port: Expected `int`, got `str`"),
        ('[server]\nprefix = "x"', "server.prefix: "),
        ('[server]\ntrusted_proxies = ["1.2.3.4", "x"]', "server.trusted_proxies: 'x'"),
        ("[server]\ntrusted_proxies = [1]", "server.trusted_proxies[0]: Expected `str`"),
        ("[dedup]\nmax_entries = 0", "dedup.max_entries: Expected `int` >= 1"),
        ('[queue]\nack = "maybe"', "queue.ack: Invalid enum value 'maybe'"),
        ("sources = 5", "sources: Expected `object`, got `int`"),
        ("[sources]\nweb = 5", "sources.web: expected a table, got int"),
        ("[[destinations]]\na = 1", "destinations: Expected `object`, got `array`"),
        ("[[destinations.a]]\na = 1", "destinations.a: expected a table, got list"),
        ('[sources.web]\nwrite_key = "k"', "sources.web: Object missing required field `type`"),
        ("[sources.web]\ntype = 5", "sources.web.type: Expected `str`, got `int`"),
        ('[sources.web]\ntype = "x"\nwrite_key = ["a", 5]', "sources.web.write_key[1]: "),
        ('[sources.web]\ntype = "x"\nwrite_key = ""', "sources.web.write_key: is empty"),
        ('[sources.web]\ntype = "x"\nwrite_key = ["a", " "]', "sources.web.write_key: is empty"),
        ('[destinations."a b"]\ntype = "x"', "destinations.a b: an id starts with a letter"),
        ('[destinations.1a]\ntype = "x"', "destinations.1a: an id starts with a letter"),
        (f'[destinations.a{"b" * 64}]\ntype = "x"', f"destinations.a{'b' * 64}: an id"),
        (
            '[transforms.m]\ntype = "mask"\ndestinations = ["crm"]',
            "transforms.m.destinations: there is no destination 'crm'",
        ),
        (
            '[transforms.m]\ntype = "mask"\ndestinations = []',
            "transforms.m.destinations: is empty; leave it out to run m at intake",
        ),
    ],
)
def test_errors_begin_with_the_path(loaded: Load, text: str, message: str) -> None:
    """Every error begins with the key's path, and suggests a similar key."""
    assert failure(loaded, text).startswith(message)


def test_two_sources_cannot_share_a_key(loaded: Load) -> None:
    """Two sources with one write key are refused, without showing the key."""
    message = failure(
        loaded,
        '[sources.a]\ntype = "x"\nwrite_key = ["k1", "secret-key", "k1"]\n'
        '[sources.b]\ntype = "x"\nwrite_key = "secret-key"',
    )
    assert message == "sources.b.write_key: is also the key of sources.a"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, bytes that are no text and text that is no TOML each have their own error."""
    path = tmp_path / "other.toml"
    with pytest.raises(ConfigError, match=r"^other\.toml: cannot be read \(.*--config"):
        load(path, {})
    path.write_bytes(b'data_dir = "\xff"')
    with pytest.raises(ConfigError, match=r"^other\.toml: is not UTF-8 \(byte 12\)"):
        load(path, {})
    path.write_bytes(b"a = \n")
    with pytest.raises(ConfigError, match=r"^other\.toml: is not TOML: .*line 1"):
        load(path, {})


KEY_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")
KNOWN = {field.name for field in dataclasses.fields(Config)}.union(
    *(struct.__struct_fields__ for struct in (ServerConfig, DedupConfig, LogConfig)),
    *(struct.__struct_fields__ for struct in (RetryPolicy, BatchPolicy)),
)
SECTIONS = {
    "": "",
    "server": "[server]",
    "dedup": "[dedup]",
    "log": "[log]",
    "destinations.a.retry": '[destinations.a]\ntype = "x"\n[destinations.a.retry]',
    "destinations.a.batch": '[destinations.a]\ntype = "x"\n[destinations.a.batch]',
}


@given(st.sampled_from(sorted(SECTIONS)), st.text(KEY_CHARACTERS))
def test_any_unknown_key_is_named_with_its_path(
    tmp_path_factory: pytest.TempPathFactory, section: str, key: str
) -> None:
    """An unknown key is an error at every level that the gateway decodes."""
    assume(key not in KNOWN)
    path = tmp_path_factory.getbasetemp() / "unknown.toml"
    quoted = json.dumps(key, ensure_ascii=False)
    path.write_text(f"{SECTIONS[section]}\n{quoted} = 1", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    where = f"{section}: " if section else ""
    assert str(caught.value).startswith(f"unknown.toml: {where}there is no key {key!r} here")


def test_keys_of_the_host() -> None:
    """The host's keys of a component are the fields of its settings."""
    assert HOST_KEYS["destination"] == set(DestinationSettings.__struct_fields__)
    assert HOST_KEYS["source"] == {"type", "write_key", "keys", "enabled", "consent_default"}
    assert HOST_KEYS["transform"] == {"type", "enabled", "destinations", "only"}
    assert {"type", "ack"} < HOST_KEYS["queue"]


def test_a_byte_order_mark_and_lines_of_windows_are_read(tmp_path: Path) -> None:
    """Some editors begin a file with a mark and end lines with two characters."""
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbf[sources.web]\r\ntype = "segment"\r\nwrite_key = "k"\r\n')
    assert load(path, {}).sources["web"][0].write_keys == ("k",)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_variable_that_ends_in_a_line_feed_is_refused_by_name(loaded: Load, end: str) -> None:
    """Such a key would be one that no client can send."""
    with pytest.raises(ConfigError, match=r"sources\.web\.write_key: .*KEY ends in a line"):
        loaded('[sources.web]\ntype = "segment"\nwrite_key = "${KEY}"', KEY=f"k{end}")


def test_keys_and_secrets_with_a_line_feed_are_refused(loaded: Load) -> None:
    """Also where they stand in the file itself."""
    with pytest.raises(ConfigError, match=r"sources\.web\.write_key: begins or ends with"):
        loaded('[sources.web]\ntype = "segment"\nwrite_key = "k\\n"')
    with pytest.raises(ConfigError, match=r"admin\.token: ends in a line feed"):
        loaded('[admin]\ntoken = "0123456789abcdef0\\n"')


def test_all_mistakes_are_shown_at_once(loaded: Load) -> None:
    """Whatever table they are in, each on a line with its path."""
    text = """
[server]
prt = 1
max_connections = 0
[queue]
ack = "never"
[sources.web]
write_key = "k"
[destinations.crm]
type = "null"
max_concurrency = "two"
timeout_seconds = -1
"""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    first, *lines = str(caught.value).split("\n")
    assert first == "config.toml: 6 mistakes:"
    assert [line.strip().partition(": ")[0] for line in lines] == [
        "server",
        "server.max_connections",
        "queue.ack",
        "sources.web",
        "destinations.crm.max_concurrency",
        "destinations.crm.timeout_seconds",
    ]


def test_all_variables_that_are_not_set_are_shown_at_once(loaded: Load) -> None:
    """They are one kind of mistake, and the first that a new machine makes."""
    with pytest.raises(ConfigError) as caught:
        loaded('data_dir = "${ONE}"\n[destinations.a]\ntype = "${TWO}"')
    assert [name for name in ("ONE", "TWO") if f"variable {name} is" in str(caught.value)] == [
        "ONE",
        "TWO",
    ]
