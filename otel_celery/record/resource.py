"""What the metrics are about: the service, its instance, the worker and its pool, the process and the host.

The attributes' names are OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/resource/),
and ``celery.*`` for what they do not know. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win over all of it.
"""

from __future__ import annotations

import contextlib
import platform
import socket
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, ProcessResourceDetector, Resource

from otel_celery.record import outgoing

WORKER_NAME = "celery.worker.name"
"""Celery's node name, as in the label ``worker``."""

POOL_NAME = "celery.pool.name"
"""The node name's part before the @: ``trading`` of ``trading@host1``."""

MAX_LENGTH = 4_096
"""Where values are cut: a path may be so long."""


class ResourceCleaner:
    """Cleans resources, ours and an application's: one byte that is no UTF-8 fails every scrape, and OTLP drops it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: tuple[Resource, Resource] | None = None

    def __call__(self, described: Resource) -> Resource:
        """Give the same attributes, made plain; those that cannot be are left out."""
        if self._known is None or self._known[0] is not described:
            self._known = described, Resource(_plain(described), outgoing.text(described.schema_url))
        return self._known[1]


def _plain(described: Resource) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in described.attributes.items():
        with contextlib.suppress(Exception):  # a user's class may raise anything
            made |= outgoing.labels({key: value}, MAX_LENGTH)
    return made


def resource(worker: str, service: str) -> Resource:
    """Describe the worker of this node name; ``service`` names its service where the environment does not.

    ``service.instance.id`` is the SDK's: a random UUID, the same for the life of the process. It is not made from
    the node name, since in a rolling restart two workers of one name live at once, and their counters would be one
    series with two writers.
    """
    asked = Resource.create()
    if str(asked.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        asked = asked.merge(Resource({SERVICE_NAME: service}))
    return _host().merge(ProcessResourceDetector().detect()).merge(_celery(worker)).merge(asked)


def _host() -> Resource:
    """Ask nobody but the kernel: the SDK's own detector also runs commands on some systems, which may hang."""
    return Resource({"host.name": socket.gethostname(), "host.arch": platform.machine()})


def _celery(worker: str) -> Resource:
    return Resource({WORKER_NAME: worker, POOL_NAME: worker.partition("@")[0]})
