"""What the runbook says of a queue whose name is a slip, on RabbitMQ: its messages get to where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

from tests.integration.stack.markdown import RUNBOOK, commands
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from tests import rabbitmq


def test_a_shovel_moves_what_waits_in_a_mistyped_queue(managed: rabbitmq.Node) -> None:
    """In their order, and with the headers that Celery reads; then the shovel is gone."""
    with Celery(broker=managed.url) as app:
        sent = [app.send_task("orders.place", queue="tradign", ignore_result=True).id for _ in range(3)]
        for line in commands(RUNBOOK):
            if line.startswith(("rabbitmq-plugins", "rabbitmqctl set_parameter shovel")):
                managed.run(line)
        wait_until(lambda: waiting(managed, "trading") == 3, "all are there")
        assert waiting(managed, "tradign") == 0
        wait_until(lambda: "slip" not in managed.run("rabbitmqctl --quiet list_parameters"), "the shovel has ended")
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue("trading")
            assert [queue.get(timeout=10).headers["id"] for _ in sent] == sent
            queue.close()
        with app.connection_for_write() as connection:
            for name in ("trading", "tradign"):
                connection.default_channel.queue_delete(name)


def waiting(node: rabbitmq.Node, queue: str) -> int:
    """Tell how many messages wait in a queue."""
    return int(node.queues().get(queue, {"messages_ready": 0})["messages_ready"])
