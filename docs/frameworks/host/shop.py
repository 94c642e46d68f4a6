"""A Celery app of two queues, without a word of otel-celery in it."""

from celery import Celery

app = Celery("shop", broker="redis://localhost:6379/0")  # the environment's CELERY_BROKER_URL wins
app.conf.task_ignore_result = True
app.conf.task_routes = {"shop.send_receipt": "mail", "shop.count_stock": "stock"}


@app.task
def send_receipt(order: int) -> str:
    """Pretend to send a receipt."""
    return f"sent a receipt for {order}"


@app.task
def count_stock(article: int) -> str:
    """Pretend to count."""
    return f"counted {article}"
