"""``gateway plugin new``: the files, the refusals, and the output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.cli.scaffold import KINDS, MAX_NAME, check_name, render, write

LONGEST = "a-very-long-plugin-named"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["plugin", "new", *map(str, args)])


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "acme-crm", LONGEST])
def test_what_is_written_is_clean(tmp_path: Path, kind: str, name: str) -> None:
    """Linter and formatter accept new packages with names of any length."""
    write(tmp_path, render(name, kind))
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_longest_name_is_the_longest() -> None:
    """The longest name in these tests has the most permitted characters."""
    check_name(LONGEST)
    assert len(LONGEST) == MAX_NAME


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(kind: str) -> None:
    """Every place of a template is filled in, and every package has the common files."""
    rendered = {str(path): text for path, text in render("acme-crm", kind).items()}
    assert not [path for path, text in rendered.items() if "{{" in path + text.replace("${{", "")]
    assert rendered.keys() >= {
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/headgate_acme_crm/__init__.py",
        "src/headgate_acme_crm/config.py",
        "src/headgate_acme_crm/py.typed",
        f"src/headgate_acme_crm/{kind}.py",
        "tests/test_package.py",
    }
    assert all(text.endswith("\n") for path, text in rendered.items() if "py.typed" not in path)


def test_there_is_no_other_kind() -> None:
    """An unknown kind is an error that lists the known ones."""
    with pytest.raises(ValueError, match="no kind 'queue'; there are: destination, transform"):
        render("crm", "queue")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("", "is empty"),
        ("Crm", "has capital letters: try crm"),
        ("acme_crm", "has '_'; join parts with a hyphen: try acme-crm"),
        ("acme crm", "has a space; join parts with a hyphen: try acme-crm"),
        ("acme/crm", "has '/'; it takes small letters, digits and hyphens: try acme-crm"),
        ("café", r"has '\xe9'; it takes small letters, digits and hyphens: try caf"),
        ("4you", "must begin with a letter: try you"),
        ("42", "must begin with a letter"),
        ("-crm", "must begin with a letter: try crm"),
        ("crm-", "has a hyphen at its end: try crm"),
        ("acme--crm", "has two hyphens in a row: try acme-crm"),
        ("Headgate_crm", "has '_'; join parts with a hyphen: try crm"),
        ("headgate-crm", "leave out the prefix, which is added: crm"),
        ("x" * 25, "has 25 characters, and 24 is the most"),
        ("../crm", "has '.', '/'; it takes small letters, digits and hyphens: try crm"),
    ],
)
def test_what_is_wrong_with_a_name(tmp_path: Path, name: str, wrong: str) -> None:
    """A wrong name is refused with the reason, and a valid name if there is one."""
    result = run("--dir", tmp_path, "--", name)
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(f"Invalid value for 'NAME': {name!r} {wrong}")
    assert files_of(tmp_path) == {}


@given(st.text(alphabet="ab1-_ A/.é\0", max_size=30))
def test_a_name_is_good_or_refused(name: str) -> None:
    """Any text is refused, or gives a valid module and class."""
    try:
        check_name(name)
    except ValueError as error:
        _, found, better = str(error).partition(": try ")
        if found:
            check_name(better)
    else:
        (module,) = {path.parts[1] for path in render(name, "source") if path.parts[0] == "src"}
        assert module.isidentifier()


def test_a_type_that_there_is(tmp_path: Path) -> None:
    """A type that exists is refused for its kind, and free for other kinds."""
    result = run("file", "--dir", tmp_path)
    assert result.exit_code == 2
    assert "there is a destination type 'file' already, of file (headgate " in result.stderr
    assert run("file", "--kind", "transform", "--dir", tmp_path).exit_code == 0


def test_it_shows_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    """The output has all files in a tree, and commands to copy."""
    result = run("crm", "--dir", tmp_path / "not" / "there")
    folder = tmp_path / "not" / "there" / "headgate-crm"
    assert result.exit_code == 0, result.output
    assert "    cd " + str(folder) in result.output.splitlines()
    assert ".venv/bin/pip install -e '.[test]'" in result.output
    shown = result.output.split("\n\n")[0]
    for path in render("crm", "destination"):
        assert path.name in shown
    assert files_of(folder) == {str(p): t for p, t in render("crm", "destination").items()}


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    """An existing file stops the command before it writes anything, and is named."""
    folder = tmp_path / "headgate-crm"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    result = run("crm", "--dir", tmp_path)
    assert result.exit_code == 1
    assert f"{folder} has README.md already; nothing was written" in result.stderr
    assert files_of(folder) == {"README.md": "mine"}


def test_an_empty_repository_is_filled(tmp_path: Path) -> None:
    """Other files in the folder stay."""
    (tmp_path / "headgate-crm" / ".git").mkdir(parents=True)
    (tmp_path / "headgate-crm" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert run("crm", "--dir", tmp_path).exit_code == 0
    assert "pyproject.toml" in files_of(tmp_path / "headgate-crm")
    assert ".git/HEAD" in files_of(tmp_path / "headgate-crm")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """The disk's error is one line that names the path."""
    (tmp_path / "file").write_text("")
    result = run("crm", "--dir", tmp_path / "file" / "inner")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path / 'file'}")
    assert len(result.stderr.splitlines()) == 1
