"""Every recorded series, in two environments that have all names in common: neither is in the other's figures.

A third environment has the first one's figures under names of its own, so that nothing can be merged with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from otel_celery import catalogue
from otel_celery.catalogue import Kind
from otel_celery.record.reference import exported_name
from tests.integration.stack.crowd import crowd
from tests.integration.stack.rulebook import expected, rules, run
from tests.integration.stack.servers import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

MINUTES = 40
LOADED = 30
"""The minute in which rules are loaded that are loaded late."""
ENVIRONMENTS = {"production": ("", 1), "staging": ("", 3), "alone": ("-x", 1)}
"""What is added to each name, and how many times as much there is of everything."""
NAMED = ("pool", "queue", "task_name", "worker", "exception", "instance")
LEVELS = {"up": "1", "celery_worker_up": "1", "redis_up": "1", "pg_up": "1", "celery_worker_queue_info": "1"}
"""What is one everywhere."""
OF_ALL = {"queue:celery_queue_oldest_message_age_seconds:limit"}
"""What also hands on what expectations.yml says of every environment."""
COUNTED = re.compile(r"celery_task_(revoked|rejected|redelivered|timeouts|failures_by_exception)_total")
START = exported_name(catalogue.START)
TARGETS = "celery_targets"
REMEMBERED = "target_worker:celery_worker_up:last_timestamp"
RECORDS = sorted({rule["record"] for rule in rules((MONITORING / "rules.yml").read_text())})


def series() -> Iterator[dict[str, str]]:
    """Give what two workers and the rest expose in each environment, one that is pushed twice, and what is expected."""
    for environment, (suffix, times) in ENVIRONMENTS.items():
        for name, labels, kind in crowd(2):
            named = {key: value + suffix if key in NAMED else value for key, value in labels.items()}
            yield {"series": written(name, {**named, "env": environment}), "values": values(name, named, kind, times)}
        for instance, until in (("host-8", 8), ("host-9", 10)):
            pushed = {"job": "shop", "pool": f"pool-8{suffix}", "worker": f"worker-8{suffix}", "env": environment}
            twice = written("celery_worker_up", {**pushed, "instance": instance + suffix})
            yield {"series": twice, "values": f"_x{LOADED} 1x{until}"}
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
    asked = [question for record in RECORDS for question in questions(record)]
    assert played(tmp_path, groups, [*series()], asked) == ""


def test_a_worker_behind_two_targets_is_counted_once(tmp_path: Path) -> None:
    """What is recorded of a pool and of its queue is the same, whether its worker has one target or two."""
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    given = [
        {"series": written(name, {**labels, "instance": instance, **place}), "values": values(name, labels, kind, 1)}
        for name, labels, kind in crowd(1)
        if "pool" in labels
        for number, instances in (("1", ("a",)), ("2", ("b", "c")))
        for place in ({label: f"{label}-{number}" for label in labels if label in {"pool", "queue"}},)
        for instance in instances
    ]
    asked: list[dict[str, Any]] = []
    for record in RECORDS:
        one, two = (f'{record}{{{record.partition("_")[0].partition(":")[0]}=~".+-{number}"}}' for number in "12")
        same = f"{one} == ignoring (pool, queue) {two}"
        asked.append({"expr": f"{one} unless ignoring (pool, queue) ({same})", "eval_time": "30m", "exp_samples": []})
    assert played(tmp_path, groups, given, asked) == ""


def test_the_last_worker_behind_a_target_is_remembered_as_long_as_there_is_the_target(tmp_path: Path) -> None:
    """And for six hours where there is none, or is none any more: not for good, since addresses come and go."""
    (group,) = (
        one for one in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] if one["name"] == TARGETS
    )
    targets = {"dead": "1x4 0x720", "removed": "1x4 0x120 stale"}
    given = [
        {
            "series": f'celery_worker_up{{job="celery", pool="p", instance="{instance}", worker="w"}}',
            "values": "1x4 stale",
        }
        for instance in (*targets, "pushed")
    ]
    given += [
        {"series": f'up{{job="celery", pool="p", instance="{instance}"}}', "values": values}
        for instance, values in targets.items()
    ]
    asked = [
        {
            "expr": f"group by (instance) ({REMEMBERED})",
            "eval_time": f"{minutes}m",
            "exp_samples": [{"labels": f'{{instance="{instance}"}}', "value": 1} for instance in instances],
        }
        for minutes, instances in ((355, ("dead", "pushed", "removed")), (372, ("dead",)), (720, ("dead",)))
    ]
    assert played(tmp_path, [group], given, asked) == ""


def test_what_was_counted_before_the_rules_were_loaded_is_not_new(tmp_path: Path) -> None:
    """Of a worker that is scraped, and of one that pushes, which has no target; what comes later is."""
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        rule["expr"] = f"({rule['expr']}) and on () vector(time()) >= {LOADED * 60}"
    given = [
        {"series": f'{name}job="shop", pool="{pool}", instance="{pool}", worker="w"}}', "values": values}
        for pool in ("scraped", "pushed")
        for name, values in (
            *((one, "90x54 91x20") for one in counters()),
            ("celery_worker_up{", "1x75"),
            ("celery_worker_tasks_active{", "0x75"),
        )
    ]
    given += [
        {"series": f'{name}{{job="shop", pool="scraped", instance="scraped"}}', "values": values}
        for name, values in (("up", "1x75"), ("process_start_time_seconds", "-100000x75"))
    ]
    new = '{__name__=~".+:increase15m"} > 0'
    looks = (LOADED + minute for minute in (0, 1, 14, 15, 16, 24))
    asked: list[dict[str, Any]] = [{"expr": new, "eval_time": f"{look}m", "exp_samples": []} for look in looks]
    every = [{"labels": "{}", "value": 2 * len(counters())}]
    asked.append({"expr": f"count({new})", "eval_time": f"{LOADED + 27}m", "exp_samples": every})
    assert played(tmp_path, groups, given, asked) == ""


def test_what_a_worker_that_pushes_had_counted_before_it_was_away_is_not_new(tmp_path: Path) -> None:
    """However long it was away, nor where no rules had seen its job; what comes later is, and all of a new life."""
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    lives = {
        ("shop", "away"): ("90x9 _x34 90x20 91x20", "1x9 _x34 1x41"),
        ("shop", "new"): ("_x63 1x22", "_x63 1x22"),
        ("first", "old"): ("_x43 90x20 91x20", "_x43 1x41"),
        ("second", "young"): ("_x49 3x36", "_x44 1x41"),
    }
    given = [
        {"series": f'{name}job="{job}", pool="p", instance="{life}", worker="w-{life}"}}', "values": values}
        for (job, life), (counts, ups) in lives.items()
        for name, values in (*((one, counts) for one in counters()), ("celery_worker_up{", ups))
    ]
    given += [
        {"series": f'{START}{{job="{job}", pool="p", instance="{life}"}}', "values": values}
        for job, life, values in (("first", "old", "_x43 780x41"), ("second", "young", "_x44 2580x41"))
    ]
    new = '{__name__=~".+:increase15m", job!="second"} > 0'
    looks = (44, 45, 46, 52, 58, 59, 60, 61, 62)
    asked: list[dict[str, Any]] = [{"expr": new, "eval_time": f"{look}m", "exp_samples": []} for look in looks]
    for job, many, at in (("shop", 2, 70), ("first", 1, 70), *(("second", 3, at) for at in (50, 58, 59, 60, 63))):
        every = [{"labels": "{}", "value": many * len(counters())}]
        asked.append(
            {"expr": f'sum({{__name__=~".+:increase15m", job="{job}"}})', "eval_time": f"{at}m", "exp_samples": every}
        )
    assert played(tmp_path, groups, given, asked) == ""


def counters() -> list[str]:
    """Give the names of the counters that rules look back at, each with the labels that they choose."""
    names = [name for name, *_ in crowd(1) if COUNTED.search(name)]
    return [name + ('{limit="hard", ' if "timeouts" in name else "{") for name in dict.fromkeys(names)]


def played(
    directory: Path, groups: list[dict[str, Any]], given: list[dict[str, str]], asked: list[dict[str, Any]]
) -> str:
    """Have promtool evaluate rules every half minute on samples that are a minute apart; return what is wrong."""
    (directory / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, width=10_000))
    head = {"rule_files": ["rules.yml"], "evaluation_interval": "30s"}
    block = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    order = [group["name"] for group in groups]
    file = directory / "played.yml"
    file.write_text(yaml.safe_dump({**head, "group_eval_order": order, "tests": [block]}, width=10_000))
    done = run("3.13", "test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr
