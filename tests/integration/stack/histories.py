"""Histories for promtool, made of those that are written down: elsewhere, reset, or scraped at another pace.

A unit test's block of series is read, its samples are written out, and what is made of them is a block again.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.incidents.pace import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Samples = list[float | str | None]
    """A number; None where there is no sample; or ``stale``."""

ITEM = re.compile(
    r"(?P<no>_)(?:x(?P<gaps>\d+))?$|(?P<start>-?[\d.]+)(?:(?P<step>[+-][\d.]+))?(?:x(?P<times>\d+))?$|stale$"
)
COUNTER = re.compile(r"_(total|bucket|sum|count)\{")
MOMENT = re.compile(r"_(timestamp|start_time)_seconds\{")
LABEL = re.compile(r'(\w+)="([^"]*)"')
SHARED = re.compile(r"celery_worker_(tasks_\w+|pool_size)\{")
"""Levels that the workers of a pool share."""
WELL: dict[str, float | None] = {
    r"(up|celery_worker_up|celery_worker_broker_connected|redis_up|pg_up)\{": 1.0,
    r"celery_worker_(tasks_\w+|oldest_active_task_seconds|draining|loop_stall_seconds)\{": 0.0,
    r"celery_queue_(length|oldest_message_age_seconds)\{|redis_key_size": 0.0,
    r"": None,
}
"""What a series says, by its name, where all is well; None for what it says at first."""


@dataclass(frozen=True)
class Series:
    """One series: its name with its labels, and a sample at each step."""

    name: str
    samples: Samples

    @property
    def is_counter(self) -> bool:
        """Whether it only grows."""
        return bool(COUNTER.search(self.name))

    @property
    def is_moment(self) -> bool:
        """Whether it tells when something was, in seconds since its history began."""
        return bool(MOMENT.search(self.name))

    def labelled(self, **labels: str) -> Series:
        """Give it these labels, in the place of what it has of them."""
        metric, _, inside = self.name.partition("{")
        merged = {**dict(LABEL.findall(inside)), **labels}
        return replace(self, name=metric + "{" + ",".join(f'{key}="{value}"' for key, value in merged.items()) + "}")

    def label(self, name: str) -> str | None:
        """Give one of its labels."""
        return dict(LABEL.findall(self.name)).get(name)

    def mapped(self, change: Callable[[float], float]) -> Series:
        """Change each number."""
        return replace(self, samples=[change(one) if isinstance(one, float) else one for one in self.samples])

    def well(self, interval: int) -> Series:
        """Say that all is well: it is up, holds nothing, has just been seen, or stays at its first sample."""
        if "timestamp" in self.name:
            return replace(self, samples=[float(interval * step) for step in range(len(self.samples))])
        known = next(value for pattern, value in WELL.items() if re.match(pattern, self.name))
        return replace(self, samples=[self.samples[0] if known is None else known] * len(self.samples))

    def reset_at(self, step: int) -> Series:
        """Have a counter begin again, without losing anything; a gauge is left alone."""
        base = self.samples[step - 1] if self.is_counter and step <= len(self.samples) - 1 else None
        after = [one for one in self.samples[step:] if isinstance(one, float)]
        if not isinstance(base, float) or not after or after[0] - base >= base:
            return self  # it had hardly begun: a reset would not be seen
        late = [one - base if isinstance(one, float) else one for one in self.samples[step:]]
        return replace(self, samples=[*self.samples[:step], *late])

    def held(self, step: int, times: int, interval: int) -> Series:
        """Have a step last for so many more: a gauge stays, a counter goes on as in it; what follows is later."""
        if step >= len(self.samples):
            return self
        before, here = self.samples[step - 1], self.samples[step]
        grows = 0.0
        if self.is_counter and isinstance(before, float) and isinstance(here, float):
            grows = max(0.0, here - before)
        middle: Samples = [here + grows * (more + 1) if isinstance(here, float) else None for more in range(times)]
        clock = times * interval if "timestamp" in self.name else 0
        later = [one + grows * times + (clock if one != here else 0) if isinstance(one, float) else one
                 for one in self.samples[step + 1 :]]  # fmt: skip
        return replace(self, samples=[*self.samples[: step + 1], *middle, *later])

    def paced(self, before: int, after: int) -> Series:
        """Sample it every ``after`` seconds in the place of every ``before``: a counter grows evenly in between.

        What goes stale between two samples is so at the later one.
        """
        steps = range(0, before * (len(self.samples) - 1) + 1, after)
        samples = [self._at(second / before) for second in steps]
        for number, second in enumerate(steps):
            passed = self.samples[max(0, (second - after) // before + 1) : second // before + 1]
            if samples[number] is None and "stale" in passed:
                samples[number] = "stale"
        return replace(self, samples=samples)

    def _at(self, place: float) -> float | str | None:
        here = self.samples[int(place)]
        following = self.samples[min(int(place) + 1, len(self.samples) - 1)]
        if not self.is_counter or not isinstance(here, float) or not isinstance(following, float) or following < here:
            return here if here != "stale" or place == int(place) else None
        return here + (following - here) * (place - int(place))

    def written(self) -> dict[str, str]:
        """Write it as promtool reads it."""
        told = (f"{one:.10g}" if isinstance(one, float) else one or "_" for one in self.samples)
        return {"series": self.name, "values": " ".join(told)}


def read(block: dict[str, Any]) -> list[Series]:
    """Read a block's series."""
    return [Series(one["series"], list(_samples(one["values"]))) for one in block["input_series"]]


def seconds(duration: str) -> int:
    """Read a duration such as ``1h30m``."""
    return sum(milliseconds(part) for part in re.findall(r"\d+[a-z]+", str(duration))) // 1000


def made(
    block: dict[str, Any], series: Iterable[Series], checks: Iterable[dict[str, Any]], interval: int
) -> dict[str, Any]:
    """Make a block of these series and checks; what annotations say is not compared."""
    return {
        "name": block["name"],
        "interval": f"{interval}s",
        "input_series": [one.written() for one in series],
        "alert_rule_test": list(checks),
    }


def check(at: int, alert: str, labels: Iterable[dict[str, str]]) -> dict[str, Any]:
    """Expect an alert with these labels at a second, and no other."""
    return {"eval_time": f"{at}s", "alertname": alert, "exp_alerts": [{"exp_labels": one} for one in labels]}


def moved(checks: list[tuple[int, list[dict[str, str]]]], slack: int) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Look earlier before an outcome changes, and later after it did; leave out an outcome that is over too soon."""
    runs = [(fires, [at for at, _ in some])
            for fires, some in itertools.groupby(checks, key=lambda one: one[1])]  # fmt: skip
    for number, (fires, times) in enumerate(runs):
        begin = times[0] + slack if number else 0
        end = times[-1] - slack if number + 1 < len(runs) else max(times[-1], begin)
        if 0 <= begin <= end:
            yield end, fires


def _samples(values: str) -> Iterable[float | str | None]:
    for item in values.split():
        found = ITEM.match(item)
        assert found, item
        if item == "stale":
            yield "stale"
        elif found["no"]:
            yield from [None] * int(found["gaps"] or 1)
        else:
            step = float(found["step"] or 0)
            yield from (float(found["start"]) + step * number for number in range(int(found["times"] or 0) + 1))
