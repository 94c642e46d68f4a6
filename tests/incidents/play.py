"""Play incidents side by side, each in an environment of its own, and tell what became of them."""

from __future__ import annotations

import math
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from tests.incidents.outcome import Outcome, tell
from tests.incidents.place import Place
from tests.incidents.stage import Stage, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.incidents.incident import Incident

T = TypeVar("T")
STARTS = 4
"""Places that are set up at a time."""
PAUSE = 0.05
"""Seconds of the clock between two looks."""


def play(
    incidents: Sequence[Incident], version: str, times: float, directory: Path, longest: float = math.inf
) -> tuple[list[Outcome], list[str]]:
    """Play these incidents with one Prometheus (``2`` or ``3``), ``times`` as fast as on a clock.

    None lasts for more minutes than ``longest``. Return what became of them, and the alerts that were told and are of
    none. Whatever has been started is ended, also where this is interrupted.
    """
    interrupted = threading.Event()
    with ExitStack() as running:
        places = [_place(each, times, directory, running, interrupted) for each in incidents]
        both = list(zip(incidents, places, strict=True))
        _together(STARTS, lambda incident, place: incident.set_up(place), both, interrupted)
        watching = running.enter_context(stage(places, version, times, directory))
        watching.wait_for(places)
        calm = len(watching.webhook.alerts)
        found = _together(
            len(both), lambda incident, place: _play(incident, place, watching, longest), both, interrupted
        )
        return found, strays(watching.webhook.alerts[calm:], places)


def _together(
    number: int,
    act: Callable[[Incident, Place], T],
    both: Iterable[tuple[Incident, Place]],
    interrupted: threading.Event,
) -> list[T]:
    """Act on so many at a time; where that is interrupted, have the threads end before what they have started does."""
    with ThreadPoolExecutor(number) as threads:
        try:
            return list(threads.map(act, *zip(*both, strict=True)))
        except BaseException:
            interrupted.set()
            raise


def strays(alerts: Sequence[Mapping[str, Any]], places: Sequence[Place]) -> list[str]:
    """Name the alerts that were told since every target is up, and are of no incident."""
    known = {place.environment for place in places}
    told = {
        one["labels"]["alertname"]
        for one in alerts
        if one["status"] == "firing" and one["labels"].get("env") not in known
    }
    return sorted(told)


def _place(
    incident: Incident, times: float, directory: Path, running: ExitStack, interrupted: threading.Event
) -> Place:
    name = re.sub(r"\W+", "-", incident.name)
    home = directory / name
    home.mkdir()
    broker = running.enter_context(incident.broker(home))
    place = Place(name, times, home, broker, interrupted)
    running.enter_context(place.running)
    return place


def _play(incident: Incident, place: Place, watching: Stage, longest: float) -> Outcome:
    """Play one incident from calm to calm."""
    troubles = []
    began = ended = time.monotonic()
    try:
        place.sleep(incident.calm)
        began = time.monotonic() if incident.calm else watching.since
        incident.begin(place)
        _pass(incident, place, min(incident.lasts, longest))
        incident.end(place)
        ended = time.monotonic()
        _settle(incident, place, watching)
    except Exception as error:  # noqa: BLE001  the others are played to their end
        troubles.append(f"{type(error).__name__}: {error}")
    told = tell(_of(place, watching), began, place.times)
    return Outcome(
        incident, (ended - began) * place.times / 60, told, frozenset(watching.fired(place.environment)), troubles
    )


def _pass(incident: Incident, place: Place, minutes: float) -> None:
    """Let so many minutes pass, with the incident's steps among them."""
    over = time.monotonic() + place.seconds(minutes)
    due, number = time.monotonic(), 0
    while (now := time.monotonic()) < over:
        if incident.every and now >= due:
            incident.step(place, number)
            due, number = due + place.seconds(incident.every), number + 1
        place.pause(PAUSE)


def _settle(incident: Incident, place: Place, watching: Stage) -> None:
    """Wait until all that was told is resolved, for as long as that may take."""
    over = time.monotonic() + place.seconds(incident.over)
    while time.monotonic() < over:
        if all(each.resolved is not None for each in tell(_of(place, watching), 0, place.times)):
            return
        place.pause(PAUSE)


def _of(place: Place, watching: Stage) -> list[dict]:
    return [each for each in watching.webhook.alerts if each["labels"].get("env") == place.environment]
