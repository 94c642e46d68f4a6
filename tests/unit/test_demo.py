"""The demo's words, without its workers."""

from __future__ import annotations

import asyncio
import io

from rich.console import Console
from rich.live import Live

from otel_celery.demo.show import announce_stop


def test_the_first_request_to_stop_is_answered_at_once() -> None:
    """While the table is still on the screen, and not before it was asked."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)

    async def stop() -> None:
        stopping = asyncio.Event()
        announcing = asyncio.create_task(announce_stop(console, stopping))
        with Live("the table", console=console, auto_refresh=False):
            await asyncio.sleep(0)
            assert "Stopping" not in shown.getvalue()
            stopping.set()
            await announcing
            assert "Stopping: the running tasks finish; Ctrl-C once more cuts them off." in shown.getvalue()

    asyncio.run(stop())
