"""Incidents of tasks: they kill their processes, expire, fail, run out of time, or are unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.incidents.incident import Incident

if TYPE_CHECKING:
    from tests.incidents.place import Place

QUEUE = "orders"


class OfTasks(Incident):
    """What happens to tasks of one worker; rules look back for a quarter of an hour, it has been seen longer."""

    kind = "threads"
    calm = 18

    def set_up(self, place: Place) -> None:
        """Start it."""
        place.worker(QUEUE, self.kind)


class Poison(OfTasks):
    """A message kills the process that runs it, again and again."""

    name = "poison loop"
    pages = {"CeleryPoisonMessage": 10}
    may_warn = frozenset(
        {
            "CeleryProcessesLost",
            "CeleryTaskFailing",
            "CelerySuccessBudgetLeaking",
            "CelerySuccessBudgetBurningSlowly",  # of a pool that runs nothing else; it may outlast the page
        }
    )
    names = {"task_name": "incidents.poison"}
    lasts, over = 11, 80
    worst = True
    kind = "prefork"
    ids: list[str]

    def begin(self, place: Place) -> None:
        """Send one message."""
        self.ids = place.send("poison", queue=QUEUE)

    def end(self, place: Place) -> None:
        """Revoke it."""
        place.control("revoke", task_id=self.ids)


class Expired(OfTasks):
    """Four hundred messages are received after they have expired."""

    name = "expired tasks"
    warns = {"CeleryTasksRevoked": 3}
    lasts, over = 6, 25

    def begin(self, place: Place) -> None:
        """Send them."""
        place.send("work", queue=QUEUE, number=400, expires=-60)


class AlwaysFails(OfTasks):
    """A task fails twelve times an hour, whenever it runs."""

    name = "always fails"
    warns = {"CeleryTaskFailing": 55}
    lasts, over = 55, 75
    every = 5

    def step(self, place: Place, number: int) -> None:  # noqa: ARG002
        """Run it."""
        place.send("fail", queue=QUEUE)


class Leaking(OfTasks):
    """A steady four percent of the runs fail, four times what a budget of thirty days allows."""

    name = "four percent fail"
    warns = {"CelerySuccessBudgetLeaking": 85}
    lasts, over = 85, 40
    every = 0.5

    def step(self, place: Place, number: int) -> None:
        """Run five, of which one fails each fifth time."""
        place.send("work", 0, number % 5 == 0, queue=QUEUE)
        place.send("work", queue=QUEUE, number=4)

    def end(self, place: Place) -> None:
        """Have so many succeed that less than one percent of all has failed."""
        place.send("work", queue=QUEUE, number=4 * 5 * int(self.lasts / self.every))


class FailingFast(OfTasks):
    """Nearly half of the runs fail, twenty runs a minute."""

    name = "half of them fail"
    pages = {"CelerySuccessBudgetBurningFast": 6}
    warns = {
        "HighTaskFailureRate": 12,  # four until its rate is there, five to wait, one to tell: ten are none to spare
        "CeleryTaskFailureRatioHigh": 15,
    }
    may_warn = frozenset({"CelerySuccessBudgetBurningSlowly"})
    names = {"pool": QUEUE}
    lasts, over = 15, 45
    every = 0.5
    worst = True

    def step(self, place: Place, number: int) -> None:  # noqa: ARG002
        """Run ten."""
        place.send("work", 0, True, queue=QUEUE, number=4)
        place.send("work", queue=QUEUE, number=6)


class HardLimits(OfTasks):
    """Runs are killed for their hard time limit."""

    name = "hard time limits"
    warns = {"CeleryHardTimeLimits": 6}
    lasts, over = 8, 25
    kind = "prefork"

    def begin(self, place: Place) -> None:
        """Start three."""
        place.send("slow", queue=QUEUE, number=3)


class Unknown(OfTasks):
    """Messages come of a task that no worker knows."""

    name = "unknown task"
    warns = {"CeleryMessagesUnknown": 3}
    lasts, over = 5, 25

    def begin(self, place: Place) -> None:
        """Send two."""
        place.send("renamed_since", queue=QUEUE, number=2)
