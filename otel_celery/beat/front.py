"""A class in front of a scheduler's own, which reports to a watch; the scheduler's own class stays in the MRO.

The scheduler is a user's choice, and has been made by the time that ``beat_init`` is sent. So it is the object that is
given another class. Python allows that if both classes lay out their objects alike, ``__slots__`` included: hence a
class with one base and no attributes, and not a mixin.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery.beat import Scheduler

from otel_celery.masking import RefusedError, foreign

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.beat.watch import Watch

SEEN = ("tick", "apply_entry", "apply_async")
"""Methods that an object must not have itself: it would hide those of its class."""


class UnobservedError(RefusedError):
    """A scheduler cannot be observed; the message is one sentence that says why."""


def observed(base: Any, watch: Watch) -> type:
    """Derive from a scheduler's class one that reports to a watch.

    Raises whatever the metaclass, or ``__init_subclass__``, raises.
    """

    class Observed(base):  # type: ignore[misc]
        __slots__ = ()
        __module__ = base.__module__
        _otel_watch = watch

        def tick(self, *args: Any, **kwargs: Any) -> Any:
            """Report a tick, unless it raises: then beat ends."""
            watch.tick_began()
            interval = super().tick(*args, **kwargs)
            watch.tick_ended(self, interval)
            return interval

        def reserve(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
            """Report the entry that is about to be sent."""
            watch.reserved(entry)
            return super().reserve(entry, *args, **kwargs)

        def apply_entry(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
            """Report what becomes of an entry."""
            return watch.send(entry, partial(super().apply_entry, entry, *args, **kwargs))

        def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
            """Report what becomes of an entry; RedBeat's does not come by ``apply_entry``."""
            return watch.send(entry, partial(super().apply_async, entry, *args, **kwargs))

        if _has_celerys_connection(base):
            connection = Connected(watch)

    Observed.__name__, Observed.__qualname__ = base.__name__, base.__qualname__
    return Observed


class Connected:
    """A descriptor before Celery's cached ``connection``: reports the attempts of a new one that fail.

    It only has ``__get__``. So it is asked once for each connection, which Celery then keeps in the object's
    ``__dict__``, and whoever sets the attribute still can.
    """

    def __init__(self, watch: Watch) -> None:
        """Report to this watch."""
        self._watch = watch

    def __get__(self, scheduler: Any, owner: type) -> Any:
        """Return the scheduler's connection."""
        connection = vars(Scheduler)["connection"].__get__(scheduler, owner)
        if scheduler is not None:
            self._watch.connects(connection)
        return connection


def put_in_front(scheduler: Any, watch: Watch) -> None:
    """Have a scheduler report to a watch.

    Raises UnobservedError for one that hides its class's methods, or whose class nothing can be put in front of.
    """
    base = type(scheduler)
    hidden = [name for name in SEEN if name in getattr(scheduler, "__dict__", ())]
    if hidden:
        raise _refusal(base)(f"the object has a {hidden[0]} of its own")
    with foreign(_refusal(base)):
        made = observed(base, watch)
        if type.mro(made)[1:2] != [base]:
            raise TypeError("its metaclass makes another class")
        object.__setattr__(scheduler, "__class__", made)


def take_away(scheduler: Any) -> None:
    """Give a scheduler its own class again; do nothing if somebody has put another one in front of ours."""
    found = type(scheduler)
    if "_otel_watch" in vars(found):
        object.__setattr__(scheduler, "__class__", found.__base__)


def _has_celerys_connection(base: type) -> bool:
    """Tell whether a class has Celery's own ``connection``, and not one of a user's."""
    found = next((vars(each)["connection"] for each in base.__mro__ if "connection" in vars(each)), None)
    return found is not None and found is vars(Scheduler).get("connection")


def _refusal(base: type) -> Callable[[str], UnobservedError]:
    name = f"{base.__module__}.{base.__qualname__}"
    return lambda why: UnobservedError(f"beat's metrics are off: its scheduler {name} cannot be observed ({why})")
