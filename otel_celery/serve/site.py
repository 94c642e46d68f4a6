"""The port's answers: /, /metrics, /-/healthy, /-/ready and /-/runbook, and a short sentence for every other path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.serve.answer import Answer, sentence
from otel_celery.serve.exposition import Exposition, accepts_gzip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.serve.access import Credentials
    from otel_celery.serve.front import Front
    from otel_celery.serve.health import Health

METHODS = ("GET", "HEAD")


class Site:
    """Answers a request by its path; never raises."""

    def __init__(
        self,
        exposition: Exposition,
        front: Front,
        health: Health,
        credentials: Credentials | None,
        on_error: Callable[[str, Exception], None],
    ) -> None:
        """Serve an exposition, its page and a process's health; ``on_error`` gets each exception with its place."""
        self._exposition = exposition
        self._front = front
        self._health = health
        self._credentials = credentials
        self._on_error = on_error

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request; header names are in lower case."""
        path, _, query = target.partition("?")
        if path == "/metrics":
            return self._allowed(method) or self._authorised(headers) or self._guarded("render", self._metrics, headers)
        if path == "/":
            return (
                self._allowed(method) or self._authorised(headers) or self._guarded("page", self._page, query, headers)
            )
        if path == "/-/runbook":
            return self._allowed(method) or self._authorised(headers) or self._guarded("page", self._runbook, headers)
        if path == "/-/healthy":
            return self._allowed(method) or self._healthy()
        if path == "/-/ready":
            return self._allowed(method) or self._guarded("health", self._ready)
        return sentence(404, "not found: there are /, /metrics, /-/healthy, /-/ready and /-/runbook")

    def _allowed(self, method: str) -> Answer | None:
        if method in METHODS:
            return None
        return sentence(405, "only GET and HEAD are allowed", ("Allow", ", ".join(METHODS)))

    def _authorised(self, headers: Mapping[str, str]) -> Answer | None:
        if self._credentials is None or self._credentials.admit(headers.get("authorization", "")):
            return None
        challenges = (("WWW-Authenticate", challenge) for challenge in self._credentials.challenges())
        return sentence(401, "credentials are needed", *challenges)

    def _guarded(self, where: str, make: Callable[..., Answer], *args: object) -> Answer:
        try:
            return make(*args)
        except Exception as error:  # noqa: BLE001  an exception of a collector must not end the server
            self._on_error(where, error)
            return sentence(500, f"internal error: {type(error).__name__}")

    def _metrics(self, headers: Mapping[str, str]) -> Answer:
        rendering = self._exposition.rendering(headers.get("accept", ""))
        vary = ("Vary", "Accept, Accept-Encoding")
        if not accepts_gzip(headers.get("accept-encoding", "")):
            return Answer(200, rendering.body, rendering.content_type, (vary,))
        return Answer(200, rendering.packed(), rendering.content_type, (vary, ("Content-Encoding", "gzip")))

    def _page(self, query: str, headers: Mapping[str, str]) -> Answer:
        return self._front.answer(query, headers.get("accept", ""))

    def _runbook(self, headers: Mapping[str, str]) -> Answer:
        return self._front.runbook(headers.get("accept", ""))

    def _healthy(self) -> Answer:
        """Answer that the process lives, also where its health cannot be told: an error of ours must not end it."""
        try:
            reason = self._health.healthy()
        except Exception as error:  # noqa: BLE001  the same
            self._on_error("health", error)
            reason = None
        return sentence(200, "healthy") if reason is None else sentence(503, reason)

    def _ready(self) -> Answer:
        reason = self._health.ready()
        return sentence(200, "ready") if reason is None else sentence(503, reason)
