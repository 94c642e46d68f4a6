"""Read with ``-I`` into a worker: has the methods in T_BREAK (``module:Class.method``, comma-separated) raise."""

from __future__ import annotations

import importlib
import os


def _raises(*_: object, **__: object) -> None:
    raise ZeroDivisionError("injected")


for place in os.environ.get("T_BREAK", "").split(","):
    module, _, path = place.partition(":")
    owner, _, method = path.partition(".")
    if method:
        setattr(getattr(importlib.import_module(module), owner), method, _raises)
