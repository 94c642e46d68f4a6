"""Worker Status, the first panel: who is up, who drains, who is down, and under which name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.integration.stack.expressions import of_the_dashboards
from tests.integration.stack.history import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEP, STEPS = 15, 160
RENAMED, SILENT = 60, 130
"""The steps from which on one worker had another name, and its target did not answer: more than five minutes ago."""


def test_who_is_down_comes_first_and_under_its_last_name(tmp_path: Path) -> None:
    """A container's new name is the same worker; two targets of one are one; who never came is named by the pool."""
    (expression,) = (one for one in of_the_dashboards() if one.place == "dashboard: Worker Status A")
    with remembered(_samples(time.time()), tmp_path) as server:
        shown = [(one["metric"]["worker"], float(one["value"][1])) for one in server.query(expression.filled())]
    assert sorted(shown[:2]) == [("celery@new", 0), ("nightly (never seen)", 0)]
    assert shown[2:] == [("celery@leaving", 0.5), ("celery@twice", 1)]


def _samples(now: float) -> Iterator[str]:
    every, steps = range(STEPS), {"renamed": range(RENAMED), "new": range(RENAMED, SILENT)}
    yield from _answered(now, "old:1", "trading", {"celery@old": steps["renamed"], "celery@new": steps["new"]}, 0)
    yield from _answered(now, "one:1", "market", {"celery@twice": every}, 0)
    yield from _answered(now, "two:1", "market", {"celery@twice": every}, 0)
    yield from _answered(now, "leaving:1", "market", {"celery@leaving": every}, 1)
    yield from _answered(now, "never:1", "nightly", {}, 0)


def _answered(now: float, instance: str, pool: str, names: dict[str, range], draining: int) -> Iterator[str]:
    """Tell of a target that answers while its worker has a name, and what rules.yml remembers of each name."""
    target = f'job="celery",instance="{instance}",pool="{pool}"'
    answering = {step for steps in names.values() for step in steps}
    for step in range(STEPS):
        moment = f"{now - (STEPS - 1 - step) * STEP:.3f}"
        yield f"up{{{target}}} {int(step in answering)} {moment}"
        for name, steps in names.items():
            if step in steps or (step >= SILENT and name == [*names][-1]):
                yield f'target_worker:celery_worker_up:last_timestamp{{{target},worker="{name}"}} {moment} {moment}'
            if step in steps:
                yield f'celery_worker_up{{{target},worker="{name}"}} 1 {moment}'
                yield f'celery_worker_draining{{{target},worker="{name}"}} {draining} {moment}'
