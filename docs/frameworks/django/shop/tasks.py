"""Tasks. One counts something of its own with plain OpenTelemetry."""

from celery import shared_task
from opentelemetry import metrics

receipts = metrics.get_meter("shop").create_counter("shop.receipts", description="Receipts that were sent.")


@shared_task
def send_receipt(order: int) -> None:
    """Pretend to send a receipt."""
    receipts.add(1, {"kind": "even" if order % 2 == 0 else "odd"})
