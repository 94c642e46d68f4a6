"""A Flask application and its Celery app, whose tasks run in Flask's application context."""

from typing import Any

from celery import Celery, Task
from flask import Flask, current_app

from otel_celery import instrument

web = Flask(__name__)
web.config["SENDER"] = "shop@example.org"


class ContextTask(Task):
    """A task that may use ``current_app``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run in the application's context."""
        with web.app_context():
            return self.run(*args, **kwargs)


app = Celery("shop", task_cls=ContextTask, broker="redis://localhost:6379/0")  # CELERY_BROKER_URL wins
app.conf.task_ignore_result = True
instrument(app)


@app.task
def send_receipt(order: int) -> str:
    """Pretend to send a receipt."""
    return f"{current_app.config['SENDER']} sent a receipt for {order}"


@web.post("/orders/<int:order>")
def place(order: int) -> dict[str, int]:
    """Publish a task, and answer."""
    send_receipt.delay(order)
    return {"placed": order}
