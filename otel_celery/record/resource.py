"""The resource of our metrics: the service, its instance, the worker and its pool, the process and the host.

Attributes are named by OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/resource/),
and ``celery.*`` where these have no name. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override all of them.
"""

from __future__ import annotations

import contextlib
import platform
import socket
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, ProcessResourceDetector, Resource

from otel_celery.record import outgoing

WORKER_NAME = "celery.worker.name"
"""Attribute for Celery's node name, which is also the label ``worker``."""

POOL_NAME = "celery.pool.name"
"""Attribute for the node name's part before the @: ``trading`` of ``trading@host1``."""

MAX_LENGTH = 4_096
"""Longest value, in characters; a path may be so long."""


class ResourceCleaner:
    """Cleans resources, ours and an application's: a byte that is not UTF-8 fails every scrape, and OTLP drops it."""

    def __init__(self) -> None:
        """Begin with an empty cache."""
        self._known: tuple[Resource, Resource] | None = None

    def __call__(self, described: Resource) -> Resource:
        """Return a resource with plain attributes; an attribute that cannot be made plain is left out."""
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
    """Describe the worker with this node name; ``service`` is used where the environment names no service.

    ``service.instance.id`` is the SDK's: a random UUID, the same for the life of the process. It is not made from the
    node name. During a rolling restart two workers of one name are alive at once, and their counters would be one
    series with two writers.
    """
    return _host().merge(ProcessResourceDetector().detect()).merge(_celery(worker)).merge(_asked(service))


def publisher_resource(service: str) -> Resource:
    """Describe a process that only publishes; ``service`` is used where the environment names no service."""
    return _host().merge(ProcessResourceDetector().detect()).merge(_asked(service))


def _asked(service: str) -> Resource:
    """Read what the environment says of the resource."""
    asked = Resource.create()
    if str(asked.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        return asked.merge(Resource({SERVICE_NAME: service}))
    return asked


def _host() -> Resource:
    """Describe the host by system calls alone: on some systems the SDK's own detector runs commands, which may hang."""
    return Resource({"host.name": socket.gethostname(), "host.arch": platform.machine()})


def _celery(worker: str) -> Resource:
    return Resource({WORKER_NAME: worker, POOL_NAME: worker.partition("@")[0]})
