"""Several processes write one graph, and are killed: it is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate_profiles.graph.facts import Fact
from headgate_profiles.graph.rules import Rules
from headgate_profiles.graph.whole import whole_graph
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store import Store

WORKER = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[5])
from headgate_profiles.graph.facts import Fact
from headgate_profiles.graph.rules import Rules
from headgate_profiles.identifiers import Identifier
from headgate_profiles.store import Store

path, number, workers, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
store = Store(path, Rules())
store.open()
print("ready", flush=True)
with store.transaction() as session:
    begin = session.cursor(str(number))
for offset in range(begin, count, 7):
    facts = []
    for place in range(offset, min(offset + 7, count)):
        if place % workers == number:
            dice = random.Random(place)
            ids = {Identifier("user_id", f"u{dice.randrange(60)}")}
            ids |= {Identifier("anonymous_id", f"a{dice.randrange(90)}") for _ in range(2)}
            facts.append(Fact(1_000 + place // 3, f"m{place}", Rules().kinds.sort(ids)))
    with store.transaction() as session:
        session.learn(facts)
        session.advance(str(number), offset + 7)
store.close()
"""


def facts(count: int) -> list[Fact]:
    """Makes the facts that the workers make."""
    made = []
    for place in range(count):
        dice = random.Random(place)
        ids = {Identifier("user_id", f"u{dice.randrange(60)}")}
        ids |= {Identifier("anonymous_id", f"a{dice.randrange(90)}") for _ in range(2)}
        made.append(Fact(1_000 + place // 3, f"m{place}", Rules().kinds.sort(ids)))
    return made


def start(
    path: Path, number: int, workers: int, count: int, stack: ExitStack
) -> subprocess.Popen[str]:
    words = [str(path), str(number), str(workers), str(count), str(Path(__file__).parent)]
    process = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", WORKER, *words], stdout=subprocess.PIPE, text=True)
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_kills(path: Path, kills: int, count: int) -> None:
    """Runs two workers, kills one of them at random moments, and compares the graph."""
    dice = random.Random(kills)
    with ExitStack() as stack:
        running = [start(path, number, 2, count, stack) for number in range(2)]
        for _ in range(kills):
            victim = dice.randrange(2)
            time.sleep(dice.random() * 0.1)  # a kill has no clock that could be passed in
            os.kill(running[victim].pid, signal.SIGKILL)
            running[victim].communicate()
            running[victim] = start(path, victim, 2, count, stack)
        for process in running:
            process.communicate()
            assert process.returncode == 0
    rules = Rules()
    expected = whole_graph(facts(count), rules).numbers(rules.kinds)
    store = Store(path, rules)
    store.open()
    rows = store.db.execute("SELECT type, value, profile FROM identifiers").fetchall()
    store.close()
    assert {Identifier(*row[:2]): row[2] for row in rows} == expected


@pytest.mark.slow
def test_killed_workers_leave_the_graph_of_an_undisturbed_run(tmp_path: Path) -> None:
    """Two workers share the graph; after kills and new starts it is that of the sorted facts."""
    check_kills(tmp_path / "graph.sqlite", 1, 200)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_kills_leave_the_graph_of_an_undisturbed_run(tmp_path: Path) -> None:
    """The same, for 15 kills."""
    check_kills(tmp_path / "graph.sqlite", 15, 3_000)
