"""Play incidents on real workers, Prometheus, Alertmanager and a webhook, and print who was told what.

Every duration of the committed files is divided by one number (`pace`), so that an hour takes some minutes. Each
incident has an environment of its own (a value of the label `env`) and a broker of its own; so they are played side by
side, some at a time. The status is 1 where anything is not as it is expected, on either version.

    python -m tests.incidents --prometheus 2 --times 20 "dead worker" "hung pool"
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.incidents.outcome import table
from tests.incidents.play import play
from tests.incidents.programme import EVERY
from tests.incidents.stage import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.incidents.incident import Incident
    from tests.incidents.outcome import Outcome

TIMES = 30.0
TOGETHER = 14
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a play before its time."""
BOTH = "both"


def main() -> int:
    """Play what is asked for, all unless it is named, on one version or both; return the exit status."""
    names = {each.name: each for each in EVERY}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--prometheus", choices=(*VERSIONS, BOTH), default="3")
    parser.add_argument("--times", type=float, default=TIMES, help="how much faster than on a clock")
    parser.add_argument("--together", type=int, default=TOGETHER, help="how many incidents are played at a time")
    asked = parser.parse_args()
    if unknown := set(asked.names) - names.keys():
        parser.error(f"there is no incident {', '.join(sorted(unknown))}")
    for number in ENDING:
        signal.signal(number, end)
    chosen = [names[name] for name in asked.names or names]
    versions = VERSIONS if asked.prometheus == BOTH else (asked.prometheus,)
    return max(played(chosen, version, asked.times, asked.together) for version in versions)


def played(chosen: Sequence[type[Incident]], version: str, times: float, number: int) -> int:
    """Play incidents on one version, so many at a time; print its table; return the exit status."""
    shortest = sorted((each() for each in chosen), key=lambda incident: incident.calm + incident.lasts + incident.over)
    outcomes: list[Outcome] = []
    strays: list[str] = []
    for first in range(0, len(shortest), number):
        together = shortest[first : first + number]
        print("playing", ", ".join(each.name for each in together), file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="otel-celery-incidents-") as name:
            found, more = play(together, version, times, Path(name))
        outcomes += found
        strays += more
    outcomes.sort(key=lambda outcome: EVERY.index(type(outcome.incident)))
    print(f"With Prometheus {VERSIONS[version]}", table(outcomes), sep="\n\n")
    return told(outcomes, strays)


def end(number: int, _: object) -> None:
    """Have a signal end the play and all that it has started, with a shell's status for that signal.

    Further ones are ignored: they would cut that off. The sentence is written past Python's own buffer, in whose midst
    a signal may arrive.
    """
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    os.write(sys.stderr.fileno(), f"{signal.Signals(number).name}: all that was started is ended\n".encode())
    raise SystemExit(128 + number)


def told(outcomes: Sequence[Outcome], strays: Sequence[str]) -> int:
    """Print what is not as it is expected; return the exit status."""
    wrong = [f"{each.incident.name}: {sentence}" for each in outcomes for sentence in each.wrong()]
    wrong += [f"of no incident: {alert} was told" for alert in strays]
    print("", *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
