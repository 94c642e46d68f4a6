"""A process that is no worker: it publishes what its arguments name, each under a root span of its own, and ends."""

from __future__ import annotations

import json
import os
import sys

from celery import chord, group
from opentelemetry import baggage, context, trace

from otel_celery import instrument
from tests.integration.trace import proj

CANVASES = {
    "walk": proj.walk,
    "group": lambda: group(proj.plain.s(), proj.plain.s()),
    "chord": lambda: chord([proj.plain.s(), proj.plain.s()], proj.plain.s()),
}


def _publish(what: str) -> object:
    """Publish one scenario."""
    tasks = proj.app.tasks
    if what in CANVASES:
        return CANVASES[what]().apply_async()
    match what.split("+"):
        case ["eta"]:
            return proj.plain.apply_async(countdown=0.5)
        case ["baggage"]:
            token = context.attach(baggage.set_baggage("tenant", "blue"))
            try:
                return proj.plain.delay()
            finally:
                context.detach(token)
        case [name, "errback"]:
            return tasks[f"t.{name}"].apply_async(link_error=proj.errback.si())
        case [name]:
            return tasks[f"t.{name}"].delay()
    raise ValueError(what)


def main() -> None:
    """Publish, and print each scenario's trace id and result id."""
    if "--no-root" in sys.argv:
        sys.argv.remove("--no-root")
        for what in sys.argv[1:]:
            _publish(what)
        return
    if "--fork" in sys.argv:  # as a web server does that loads its application first
        sys.argv.remove("--fork")
        _publish(sys.argv.pop(1))
        if pid := os.fork():
            os.waitpid(pid, 0)
        else:
            _publish(sys.argv.pop(1))
        return
    instrument(proj.app).start_traces()
    told = {}
    for what in sys.argv[1:]:
        with trace.get_tracer("a-script").start_as_current_span(f"root {what}") as root:
            result = _publish(what)
            told[what] = [trace.format_trace_id(root.get_span_context().trace_id), getattr(result, "id", None)]
    print(json.dumps(told))  # noqa: T201  the test reads it


if __name__ == "__main__":
    main()
