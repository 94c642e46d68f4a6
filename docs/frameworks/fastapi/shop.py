"""A FastAPI application and its Celery app."""

from celery import Celery
from fastapi import FastAPI

from otel_celery import instrument

app = Celery("shop", broker="redis://localhost:6379/0")  # the environment's CELERY_BROKER_URL wins
app.conf.task_ignore_result = True
instrument(app)

web = FastAPI()


@app.task
def send_receipt(order: int) -> str:
    """Pretend to send a receipt."""
    return f"sent a receipt for {order}"


@web.post("/orders/{order}")
def place(order: int) -> dict[str, int]:
    """Publish a task, and answer; not ``async``, since publishing waits for the broker."""
    send_receipt.delay(order)
    return {"placed": order}
