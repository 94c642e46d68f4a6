"""Whose port wins, and which combinations are refused."""

from __future__ import annotations

import pytest

from otel_celery.pools import ports
from otel_celery.pools.plan import Pool
from otel_celery.pools.section import PlanError

TRADING = Pool("trading", "app", 9101, ("trading",))
SLOW = Pool("slow-jobs", "app", 9102, ("slow-jobs",))


def test_the_files_port_counts_where_the_environment_is_silent() -> None:
    """An empty variable counts as unset."""
    assert ports.assign([TRADING], {"PROMETHEUS_PORT": " "}) == (TRADING,)


def test_a_pools_own_variable_changes_its_port_alone() -> None:
    """The name is in capitals, with _ for -."""
    environ = {"OTEL_PYTHON_CELERY_POOL_SLOW_JOBS_PORT": "9301"}
    assert [pool.port for pool in ports.assign([TRADING, SLOW], environ)] == [9101, 9301]


def test_prometheus_port_is_the_port_of_a_single_pool() -> None:
    """The documented variable works where it can only mean one pool."""
    assert ports.assign([TRADING], {"PROMETHEUS_PORT": "9201"})[0].port == 9201


def test_a_pools_own_variable_wins_over_prometheus_port() -> None:
    """What names the pool knows better."""
    environ = {"PROMETHEUS_PORT": "9201", "OTEL_PYTHON_CELERY_POOL_TRADING_PORT": "9301"}
    assert ports.assign([TRADING], environ)[0].port == 9301


def test_prometheus_port_for_several_pools_is_refused_with_the_variables_to_use() -> None:
    """Two workers cannot share a port, and the sentence says what to set instead."""
    with pytest.raises(PlanError) as caught:
        ports.assign([TRADING, SLOW], {"PROMETHEUS_PORT": "9201"})
    assert str(caught.value) == (
        "PROMETHEUS_PORT='9201' cannot be the port of 2 pools: "
        "use OTEL_PYTHON_CELERY_POOL_TRADING_PORT, OTEL_PYTHON_CELERY_POOL_SLOW_JOBS_PORT"
    )


@pytest.mark.parametrize("value", ["0", "65536", "-1", "9101.0", "x", "٩", "9" * 5000])
def test_a_port_that_is_none_is_refused(value: str) -> None:
    """The sentence names the variable, the value and what is allowed."""
    name = "OTEL_PYTHON_CELERY_POOL_TRADING_PORT"
    with pytest.raises(PlanError) as caught:
        ports.assign([TRADING], {name: value})
    said = repr(value) if len(value) < 120 else f"'{value[:118]}…"
    assert str(caught.value) == f"{name}={said} is not allowed: it must be a whole number from 1 to 65535"


def test_a_service_called_prometheus_sets_no_port() -> None:
    """Nor does one that is called like a pool's variable; the file's ports count, and it is said once."""
    link = "tcp://10.43.0.12:9090"
    environ = {"PROMETHEUS_PORT": link, "OTEL_PYTHON_CELERY_POOL_TRADING_PORT": link}
    environ["OTEL_PYTHON_CELERY_POOL_OTHER_PORT"] = link  # that of nobody: no concern of ours
    assert ports.assign([TRADING, SLOW], environ) == (TRADING, SLOW)
    assert [sentence.split("=")[0] for sentence in ports.strays([TRADING, SLOW], environ)] == [
        "PROMETHEUS_PORT",
        "OTEL_PYTHON_CELERY_POOL_TRADING_PORT",
    ]


def test_the_refusal_of_hundreds_of_pools_is_one_sentence() -> None:
    """The list of their variables is cut."""
    pools = [Pool(f"pool{number}", "app", 9000 + number, ("q",)) for number in range(500)]
    with pytest.raises(PlanError) as caught:
        ports.assign(pools, {"PROMETHEUS_PORT": "9201"})
    assert len(str(caught.value)) <= 240


def test_two_pools_with_one_port_are_refused() -> None:
    """The overridden ports count, not only the file's."""
    with pytest.raises(PlanError, match="the pools 'trading' and 'slow-jobs' have one port, 9101"):
        ports.assign([TRADING, SLOW], {"OTEL_PYTHON_CELERY_POOL_SLOW_JOBS_PORT": "9101"})


def test_a_variable_for_no_pool_is_told_of() -> None:
    """A misspelt pool in a variable's name would go unnoticed."""
    environ = {"OTEL_PYTHON_CELERY_POOL_TRADIGN_PORT": "1", "OTEL_PYTHON_CELERY_POOL_TRADING_PORT": "2"}
    assert ports.strays([TRADING], environ) == (
        (
            "OTEL_PYTHON_CELERY_POOL_TRADIGN_PORT names no pool of the file, and was ignored; "
            "did you mean OTEL_PYTHON_CELERY_POOL_TRADING_PORT?"
        ),
    )


def test_where_the_workers_serve_is_read_as_if_they_served() -> None:
    """A status is asked for in a shell that need not enable anything itself."""
    port = ports.served({"OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0", "OTEL_SDK_DISABLED": "true"})  # noqa: S104  a value
    assert (port.host, port.number) == ("0.0.0.0", 9464)  # noqa: S104  the same
