"""A function in front of ``app.amqp.send_task_message``, through which everything passes that an app publishes.

``send_task``, ``apply_async``, retries, canvases and beat all look it up on the app's own AMQP object, as an attribute
of that instance. Neither of Celery's signals reports an error of publishing. kombu retries inside the call, so that one
call is one publish.
"""

from __future__ import annotations

import inspect
import time
import weakref
from typing import TYPE_CHECKING, Any

from otel_celery.interruption import interruption
from otel_celery.plain import class_name
from otel_celery.publish import header
from otel_celery.publish.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.observers import PublishObserver

    Send = Callable[..., Any]

NAME = "send_task_message"


class Front:
    """Stamps what one app publishes, and reports it to ``observer``, which may be exchanged at any time."""

    def __init__(self, app: Any, observer: PublishObserver, *, has_header: bool) -> None:
        """Prepare; nothing is changed before :meth:`install`."""
        self._app = weakref.ref(app)
        self._has_header = has_header
        self._is_on = False
        self.observer = observer

    def install(self) -> None:
        """Put the function in front once the app is configured: its AMQP object is not to be made before that."""
        app = self._app()
        if app is None or self._is_on:
            return
        self._is_on = True
        app.on_after_configure.connect(self._on_configured)  # weakly
        if app.configured:
            self._stand(app.amqp)

    def remove(self) -> None:
        """Take the function away; one that another package has wrapped stays, without effect."""
        self._is_on = False
        app = self._app()
        if app is None:
            return
        app.on_after_configure.disconnect(self._on_configured)
        amqp = vars(app).get("amqp")
        ours = vars(amqp).get(NAME) if amqp is not None else None
        if ours is not None and getattr(ours, "otel_celery_front", None) is self:
            vars(amqp).pop(NAME)
            if ours.otel_celery_inner is not None:
                vars(amqp)[NAME] = ours.otel_celery_inner

    def _on_configured(self, sender: Any, **_: object) -> None:
        if self._is_on:
            self._stand(sender.amqp)

    def _stand(self, amqp: Any) -> None:
        inner = vars(amqp).get(NAME)
        if getattr(inner, "otel_celery_front", None) is not self:
            vars(amqp)[NAME] = self._in_front_of(inner, amqp)

    def _in_front_of(self, inner: Send | None, amqp: Any) -> Send:
        """Make the function; the one behind is made at the first publish, since it keeps the settings of that moment.

        Only the AMQP object holds the function, and so the app: this object must not keep the app alive.
        """
        routes = Routes(amqp)

        def send_task_message(producer: Any, name: Any, message: Any, *args: Any, **options: Any) -> Any:
            nonlocal inner
            if inner is None:
                inner = _made(amqp)
            if not self._is_on:
                return inner(producer, name, message, *args, **options)
            if self._has_header:
                self._stamp(producer, message, options)
            began = time.monotonic()
            try:
                sent = inner(producer, name, message, *args, **options)
            except BaseException as error:
                self._report(routes, name, options, began, error)
                raise
            self._report(routes, name, options, began, None)
            return sent

        send_task_message.otel_celery_front = self  # type: ignore[attr-defined]
        send_task_message.otel_celery_inner = inner  # type: ignore[attr-defined]
        return send_task_message

    def _stamp(self, producer: Any, message: Any, options: dict[str, Any]) -> None:
        try:
            header.stamp(producer, message, options)
        except Exception as error:  # noqa: BLE001  no exception of ours may reach the publisher
            if (interrupted := interruption(error)) is not None:
                raise interrupted from None
            self.observer.swallowed(error)

    def _report(self, routes: Routes, name: Any, options: Any, began: float, error: BaseException | None) -> None:
        try:
            exception = None if error is None else class_name(type(error))
            self.observer.published(name, routes.queue_of(options), time.monotonic() - began, exception)
        except Exception as failure:  # noqa: BLE001  as above
            if (interrupted := interruption(failure)) is not None:
                raise interrupted from None
            self.observer.swallowed(failure)


def _made(amqp: Any) -> Send:
    """Make the function that Celery would call without us, as its cached property does."""
    described = inspect.getattr_static(type(amqp), NAME)
    make = getattr(described, "func", None)
    made: Send = described.__get__(amqp, type(amqp)) if make is None else make(amqp)
    return made
