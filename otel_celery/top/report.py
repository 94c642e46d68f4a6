"""A view for scripts: JSON, with units in the keys."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_celery.watch.model import Beat, Problem, Queue, Task, View, Worker

VERSION = 1
"""Of the schema in docs/top.md: a key that goes, or means something else, makes it 2."""

SECONDS = "_seconds"
PER_SECOND = "_per_second"
TIME = "_timestamp_seconds"
KEYS = {
    "p50": f"duration_p50{SECONDS}",
    "p95": f"duration_p95{SECONDS}",
    "wait": f"wait_p95{SECONDS}",
    "lag": f"lag_p95{SECONDS}",
    "oldest": f"oldest{SECONDS}",
    "tick": f"last_tick_age{SECONDS}",
    "since": f"since{SECONDS}",
    "after": f"after{SECONDS}",
    "rate": f"ended{PER_SECOND}",
    **{name: name + PER_SECOND for name in ("received", "succeeded", "failed", "retried", "sent", "unsent")},
    "started": f"started{TIME}",
    "last_success": f"last_success{TIME}",
}
"""What a field is called, where its unit is to be seen."""

LEFT_OUT = frozenset({"recent", "section"})


def document(view: View) -> dict[str, Any]:
    """Make the document of a view."""
    return {
        "version": VERSION,
        f"at{TIME}": view.at,
        f"watched{SECONDS}": view.watched,
        "endpoints": {"asked": view.asked, "answered": view.answered},
        "workers": [_entry(worker) for worker in view.workers],
        "tasks": [_entry(task) for task in view.tasks],
        "queues": [_entry(queue) for queue in view.queues],
        "beats": [_entry(beat) for beat in view.beats],
        "problems": [_problem(problem, view) for problem in view.problems],
        "notes": [note.sentence for note in view.notes],
    }


def text(view: View) -> str:
    """Write it."""
    return json.dumps(document(view), indent=2, ensure_ascii=False, allow_nan=False)


def _entry(row: Worker | Task | Queue | Beat | Problem) -> dict[str, Any]:
    made = {KEYS.get(f.name, f.name): _finite(getattr(row, f.name)) for f in fields(row) if f.name not in LEFT_OUT}
    if "exits_by_reason" in made:
        made["exits_by_reason"] = dict(made["exits_by_reason"])
    return made


def _finite(value: Any) -> Any:
    """Tell no figure where there is none that JSON knows: infinity and NaN are words of Python's alone."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _problem(problem: Problem, view: View) -> dict[str, Any]:
    subject = {f.name: value for f in fields(problem.subject) if (value := getattr(problem.subject, f.name))}
    link = view.more(problem.section)
    return {**_entry(problem), "subject": subject, "link": link, "firing": problem.is_firing}
