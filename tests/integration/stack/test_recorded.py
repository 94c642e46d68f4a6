"""Every recorded series, in two environments that have all names in common: neither is in the other's figures.

A third environment has the first one's figures under names of its own, so that nothing can be merged with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_celery.catalogue import Kind
from tests.integration.stack.crowd import crowd
from tests.integration.stack.rulebook import expected, rules, run
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

MINUTES = 40
ENVIRONMENTS = {"production": ("", 1), "staging": ("", 3), "alone": ("-x", 1)}
"""What is added to each name, and how many times as much there is of everything."""
NAMED = ("pool", "queue", "task_name", "worker", "exception", "instance")
LEVELS = {"up": "1", "celery_worker_up": "1", "redis_up": "1", "pg_up": "1", "celery_worker_queue_info": "1"}
"""What is one everywhere."""
OF_ALL = {"queue:celery_queue_oldest_message_age_seconds:limit"}
"""What also hands on what expectations.yml says of every environment."""
RECORDS = sorted({rule["record"] for rule in rules((MONITORING / "rules.yml").read_text())})


def series() -> Iterator[dict[str, str]]:
    """Give what two workers and the rest expose in each environment, and what is expected of them."""
    for environment, (suffix, times) in ENVIRONMENTS.items():
        for name, labels, kind in crowd(2):
            named = {key: value + suffix if key in NAMED else value for key, value in labels.items()}
            yield {"series": written(name, {**named, "env": environment}), "values": values(name, named, kind, times)}
    for suffix in ("", "-x"):
        for rule in rules(expected()):
            about = {key: f"{key}-0{suffix}" for key in rule["labels"]}
            yield {"series": written(rule["record"], about), "values": f"1x{MINUTES}"}


def values(name: str, labels: Mapping[str, str], kind: Kind, times: int) -> str:
    """Give a series' values, a minute apart; one worker drains at the end, and one queue has no consumer."""
    if kind is not Kind.GAUGE:
        return f"0+{times * (2 if labels.get('le') == '+Inf' else 1)}x{MINUTES}"
    if name == "celery_worker_draining":
        return f"0x{MINUTES - 10} {int('pool-1' in labels['pool'])}x9"
    if name == "celery_queue_consumers":
        return f"0x{MINUTES}"
    return f"{LEVELS.get(name, 2 * times)}x{MINUTES}"


def written(name: str, labels: Mapping[str, str]) -> str:
    """Write a series' name and labels as an expression does."""
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}"


def questions(record: str) -> Iterator[dict[str, Any]]:
    """Ask what must have no answer: of no environment, missing in one, or another figure than alone."""
    alone = f'{record}{{env="alone"}}'
    for label in NAMED:
        alone = f'label_replace({alone}, "{label}", "$1", "{label}", "(.*)-x")'
    same = f'{record}{{env="production"}} == ignoring (env) {alone}'
    wrong = (
        *(() if record in OF_ALL else (f'{record}{{env=""}}',)),
        f'absent({record}{{env="production"}})',
        f'{record}{{env="production"}} unless ignoring (env) ({same})',
        f"{alone} unless ignoring (env) ({same})",
    )
    yield from ({"expr": one, "eval_time": f"{MINUTES}m", "exp_samples": []} for one in wrong)


def test_nothing_recorded_is_of_two_environments(tmp_path: Path) -> None:
    """Each record is of one of them, and what it is where there is no other."""
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    block = {
        "interval": "1m",
        "input_series": [*series()],
        "promql_expr_test": [q for r in RECORDS for q in questions(r)],
    }
    head = {"rule_files": [str(MONITORING / "rules.yml")], "evaluation_interval": "1m"}
    order = {"group_eval_order": [group["name"] for group in groups]}
    file = tmp_path / "recorded.yml"
    file.write_text(yaml.safe_dump({**head, **order, "tests": [block]}, width=10_000))
    done = run("3.13", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
