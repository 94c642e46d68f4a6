"""A script, or a web application, that gevent or eventlet patches at some moment, and that publishes from greenlets.

T_LIBRARY names the library, T_MOMENT when it patches: ``never`` leaves it to whoever loads this, as gunicorn does.
T_NUMBER is how many greenlets publish.
T_OWN_THREADS has gevent leave threads alone.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

LIBRARY, MOMENT = os.environ["T_LIBRARY"], os.environ["T_MOMENT"]


def patch_at(moment: str) -> None:
    """Patch everything, if this is the moment."""
    if moment != MOMENT:
        return
    if LIBRARY == "gevent":
        import_module("gevent.monkey").patch_all(thread=not os.environ.get("T_OWN_THREADS"))
    else:
        import_module("eventlet").monkey_patch()


patch_at("before")

from celery import Celery  # noqa: E402

from otel_celery import instrument  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NUMBER = int(os.environ["T_NUMBER"])

app = Celery("late", broker="memory://")


@app.task(name="t.ok")
def ok() -> None:
    """Do nothing."""


def serve(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request of the web by publishing: WSGI."""
    ok.delay()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"published"]


instrumentation = instrument(app)
if MOMENT == "started":
    instrumentation.start_traces()
if MOMENT == "published" or os.environ.get("T_EARLY"):
    ok.delay()
patch_at("after")
patch_at("started")
patch_at("published")


def main() -> None:
    """Publish from many greenlets at once: each message is the first one."""
    library = import_module(LIBRARY)
    greenlets = [library.spawn(ok.delay) for _ in range(NUMBER)]
    for greenlet in greenlets:
        greenlet.get() if LIBRARY == "gevent" else greenlet.wait()


if __name__ == "__main__":
    main()
