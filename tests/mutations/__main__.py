"""Mutate each number, duration, matcher and condition of the alerts, and of what they read; name what no test notices.

The tests are the blocks of devops/monitoring/tests, and the same with each counter begun anew. What is known to change
nothing that an alert's test could see is in `known`, with the reason. The status is 1 where a mutation is neither
noticed nor known, and where what is known is noticed.

    python -m tests.mutations CeleryWorkerStuck pool:celery_worker_up:expected
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.stack.rulebook import alerts, rules
from tests.integration.stack.units import CONDITIONS, RULES, UNITS, bare, blocks, name_of, recording_rules, restarted
from tests.mutations.expression import Mutation, mutations
from tests.mutations.known import KNOWN, reason_for
from tests.mutations.variants import noticed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.integration.stack.units import Block
    from tests.mutations.variants import Rule

ALERTS = alerts()
RECORDS = {rule["record"]: rule["expr"] for rule in rules(RULES.read_text())}
READS = {name: {rule["record"] for group in recording_rules([alert]) for rule in group["rules"]}
         for name, alert in ALERTS.items()}  # fmt: skip
"""What each alert reads, by way of other rules too."""


def main() -> int:
    """Mutate what is asked for, all unless it is named; print what is wrong; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="an alert, or a recorded series")
    names = parser.parse_args().names or [*ALERTS, *RECORDS]
    used, wrong = set[int](), list[str]()
    for name in names:
        for mutation in unnoticed(name):
            if (reason := reason_for(name, mutation)) is None:
                wrong.append(f"{name}: {mutation.what}")
            else:
                used.add(reason)
    if set(names) == {*ALERTS, *RECORDS}:
        wrong += [f"is known, and noticed: {each}" for number, each in enumerate(KNOWN) if number not in used]
    print("", *wrong, sep="\n")
    return int(bool(wrong))


def unnoticed(name: str) -> list[Mutation]:
    """List the mutations of an alert, or of a series that alerts read, that no alert's blocks notice."""
    readers = [name] if name in ALERTS else [alert for alert, reads in READS.items() if name in reads]
    expression = ALERTS[name]["expr"] if name in ALERTS else RECORDS[name]
    left = dict(enumerate(mutations(expression))) if readers else {}
    with tempfile.TemporaryDirectory(prefix="otel-celery-mutations-") as directory:
        for alert, played in ways(readers):
            expressions = {number: each.expression for number, each in left.items()}
            record = None if name in ALERTS else name
            for number in noticed(Path(directory), alert, record, expressions, played):
                del left[number]
    return list(left.values())


def ways(readers: Iterable[str]) -> Iterator[tuple[Rule, list[tuple[Block, int]]]]:
    """Give the alerts, each with its blocks as they are written; then each with its counters begun anew."""
    for name in readers:
        yield ALERTS[name], [one for one in blocks([*UNITS, *CONDITIONS]) if name_of(one[0]) == name]
    for name in readers:
        written = [one for one in blocks() if name_of(one[0]) == name]
        yield bare(ALERTS[name]), [(again, evaluation) for block, evaluation in written for again in restarted(block)]


if __name__ == "__main__":
    raise SystemExit(main())
