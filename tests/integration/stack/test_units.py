"""What the numbers of an expression are in: seconds, so many in a second, or neither."""

from __future__ import annotations

import pytest

from tests.incidents.units import numbers, power_of

CASES = {
    "time() - beat_last_tick_timestamp_seconds > 420": [(420, 1)],
    "rate(failed_total[5m]) > 0.1": [(0.1, -1)],
    "increase(failed_total[15m]) > 2.5": [(2.5, 0)],
    "14.4 * 0.01 < pool:failed:ratio_rate1h": [(14.4, 0), (0.01, 0)],
    "clamp_min(3 * task:runtime_seconds:p99_rate1d, 300)": [(3, 0), (300, 1)],
    "30 * sum(sum_over_time(task:ends:rate5m[1h])) > 5.5": [(30, 1), (5.5, 0)],
    "0 * queue_length + on (queue) queue:age_seconds:maximum > 600": [(0, 0), (600, 1)],
    "topk without (worker) (1, timestamp(up)) > time() - 86400": [(1, 0), (86400, 1)],
    "histogram_quantile(0.95, pool_le:wait_seconds_bucket:rate5m) >= 60": [(0.95, 0), (60, 1)],
    "deriv(queue_length[15m]) > 0.1 and queue_length > 100": [(0.1, -1), (100, 0)],
    "changes(start_time_seconds[15m]) > 4": [(4, 0)],
    "pool:wait_seconds_sum:rate5m / pool:wait_seconds_count:rate5m > 2": [(2, 1)],
    "(up > bool 0.5) * total{status='5'} > 20": [(0.5, 0), (20, 0)],
    "age_seconds > 30 unless draining == 1 or start_time_seconds": [(30, 1), (1, 0)],
}


@pytest.mark.parametrize("expression", CASES)
def test_a_number_is_in_what_it_is_measured_by(expression: str) -> None:
    """It takes the unit of what is beside it; one that multiplies is seconds from thirty on."""
    assert [(number.value, number.power) for number in numbers(expression)] == CASES[expression]


def test_unlike_is_not_compared_with_unlike() -> None:
    """An age beside a number of messages is a mistake in the rule."""
    with pytest.raises(ValueError, match="compares powers"):
        numbers("age_seconds > queue_length")


@pytest.mark.parametrize(
    ("name", "power"),
    [
        ("celery_worker_loop_stall_seconds", 1),
        ("celery_task_runtime_seconds_sum", 1),
        ("celery_task_runtime_seconds_count", 0),
        ("pool_task_le:celery_task_runtime_seconds_bucket:rate5m", -1),
        ("pool_task:celery_task_runtime_seconds:mean_rate1d", 1),
        ("pool:celery_up:last_timestamp", 1),
        ("pool_task:celery_task_failed_per_finished:ratio_rate5m", 0),
    ],
)
def test_a_series_is_in_what_its_name_says(name: str, power: int) -> None:
    """A metric ends in its unit, and a recorded one in what was done to it."""
    assert power_of(name) == power
