"""The tasks of two workers that live at once in one process; each records how many beans it was given."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from celery import shared_task
from opentelemetry import metrics

beans = metrics.get_meter("beans").create_counter("beans")
stock = metrics.get_meter("beans").create_up_down_counter("stock")


@shared_task(name="beans.count")
def count(number: int) -> int:
    """Record so many, with an instrument that was made at import and with one that the task makes."""
    beans.add(number)
    metrics.get_meter("late").create_counter("peas").add(number)
    return os.getpid()


@shared_task(name="beans.hold")
def hold(number: int, seconds: float) -> int:
    """Have so many more in stock, and keep the child busy."""
    stock.add(number)
    time.sleep(seconds)
    return os.getpid()


@shared_task(name="beans.fork")
def fork(number: int) -> int:
    """Have a process record that the task forks, and start another interpreter, which records nothing of ours."""
    pid = os.fork()
    if pid == 0:
        beans.add(number)
        time.sleep(1.0)
        os._exit(0)
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    os.waitpid(pid, 0)
    return os.getpid()
