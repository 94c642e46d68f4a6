"""What became of an incident: who was told what, and what of it is not as it is expected."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.incidents.incident import Incident

RECEIVERS = {"pager": "pages", "team": "warns"}


@dataclass(frozen=True)
class Told:
    """One alert of which somebody was told, and when, in minutes from the incident's beginning."""

    alert: str
    receiver: str
    labels: Mapping[str, str]
    after: float
    resolved: float | None


@dataclass
class Outcome:
    """One incident that was played."""

    incident: Incident
    ended: float
    """Minutes from its beginning to its end."""
    told: Sequence[Told]
    fired: frozenset[str]
    """The alerts that fired, whoever was told."""
    troubles: list[str] = field(default_factory=list)
    """What kept it from being played."""

    @property
    def kept_back(self) -> frozenset[str]:
        """Name the alerts that fired, and of which nobody was told."""
        return self.fired - {each.alert for each in self.told}

    def wrong(self) -> list[str]:
        """List what is not as it is expected, nothing where all is."""
        return [*self.troubles, *self._missing(), *self._unexpected(), *self._late()]

    def of(self, receiver: str) -> list[Told]:
        """List what one receiver was told."""
        return [each for each in self.told if each.receiver == receiver]

    def _missing(self) -> Iterator[str]:
        for receiver, kind in RECEIVERS.items():
            there = {each.alert for each in self.of(receiver)}
            yield from (f"{alert} was not told" for alert in getattr(self.incident, kind) if alert not in there)
        yield from (f"{alert} did not fire, or was told" for alert in self.incident.kept_back - self.kept_back)

    def _unexpected(self) -> Iterator[str]:
        for receiver, kind in RECEIVERS.items():
            allowed = {*getattr(self.incident, kind), *(self.incident.may_warn if kind == "warns" else ())}
            for alert, number in Counter(each.alert for each in self.of(receiver)).items():
                if alert not in allowed:
                    yield f"{alert} was told"
                elif number > 1 and alert not in self.incident.may_warn:
                    yield f"{alert} was told {number} times: {[dict(e.labels) for e in self.told if e.alert == alert]}"
        for each in self.of("pager"):
            yield from (
                f"{each.alert} has {label}={each.labels.get(label)!r}, not {value!r}"
                for label, value in self.incident.names.items()
                if each.labels.get(label) != value
            )

    def _late(self) -> Iterator[str]:
        limits = self.incident.told()
        for each in self.told:
            limit = limits.get(each.alert, math.inf if each.alert in self.incident.may_warn else self.ended)
            if not 0 <= each.after <= limit:
                yield f"{each.alert} was told after {each.after:.1f} minutes, not within {limit:g}"
            if each.resolved is None:
                yield f"{each.alert} was not resolved within {self.incident.over:g} minutes of the end"


def tell(alerts: Iterable[Mapping[str, Any]], began: float, times: float) -> list[Told]:
    """Make of a webhook's messages one entry for each alert, whose first message counts and whose last resolution."""
    firsts: dict[tuple[tuple[str, str], ...], Mapping[str, Any]] = {}
    over: dict[tuple[tuple[str, str], ...], float | None] = {}

    def minutes(at: float) -> float:
        return (at - began) * times / 60

    for alert in alerts:
        key = tuple(sorted(alert["labels"].items()))
        if alert["status"] == "firing":
            firsts.setdefault(key, alert)
            over[key] = None
        else:
            over[key] = minutes(alert["at"])
    return [
        Told(one["labels"]["alertname"], one["receiver"], one["labels"], minutes(one["at"]), over[key])
        for key, one in firsts.items()
    ]


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out what was expected and what was told, in Markdown: times are minutes as the committed files count them."""
    head = ["incident", "expected", "pages", "warnings", "kept back", "over", "as expected"]
    rows = [_row(each) for each in outcomes]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def expectation(incident: Incident | type[Incident]) -> str:
    """Say what an incident declares: each alert with its limit, what may be told, and what is kept back."""
    said = [f"{alert} within {limit:g}" for alert, limit in incident.told().items()]
    said += [f"perhaps {alert}" for alert in sorted(incident.may_warn)]
    said += [f"{alert} kept back" for alert in sorted(incident.kept_back)]
    return ", ".join(said) or "nothing"


def _row(outcome: Outcome) -> list[str]:
    def said(found: Iterable[Told]) -> str:
        return ", ".join(f"{each.alert} after {each.after:.1f}" for each in found) or "none"

    return [
        outcome.incident.name,
        expectation(outcome.incident),
        said(outcome.of("pager")),
        said(outcome.of("team")),
        ", ".join(sorted(outcome.kept_back)) or "none",
        _ends(outcome),
        "no" if outcome.wrong() else "yes",
    ]


def _ends(outcome: Outcome) -> str:
    """Say when each alert was told to be resolved, from the incident's end; its name too where there are several."""

    def end(each: Told) -> str:
        return "never" if each.resolved is None else f"after {max(0, each.resolved - outcome.ended):.1f}"

    if len(outcome.told) == 1:
        return end(outcome.told[0])
    return ", ".join(f"{each.alert} {end(each)}" for each in outcome.told)
