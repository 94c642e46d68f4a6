"""What scripts read: its keys are a promise."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from otel_celery.top import report
from otel_celery.watch.model import Beat
from tests.unit.top.scenes import TROUBLE

PAGE = Path(__file__).parents[3] / "docs" / "top.md"


def test_every_key_is_documented_and_no_other() -> None:
    """docs/top.md has a table for each kind of entry."""
    document = json.loads(
        report.text(type(TROUBLE)(**{f: getattr(TROUBLE, f) for f in TROUBLE.__slots__} | {"beats": (Beat("u", "p"),)}))
    )
    told = {"document": set(document)} | {
        kind: set(document[kind][0]) for kind in ("workers", "tasks", "queues", "beats", "problems")
    }
    tables = {
        title: set(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE))
        for title, body in re.findall(r"^#### (\w+)\n(.*?)(?=^#|\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    }
    assert tables == told


def test_a_worker_in_trouble_is_told_with_its_reason() -> None:
    """What is not known is null."""
    away = report.document(TROUBLE)["workers"][1]
    assert (away["state"], away["why"], away["active"]) == ("not answering", "no answer within 2 s", None)


def test_what_is_no_number_is_null() -> None:
    """Python would write Infinity and NaN, which other parsers refuse."""
    worker = replace(TROUBLE.workers[0], p50=math.inf, p95=-math.inf, oldest=math.nan)
    told = json.loads(report.text(replace(TROUBLE, workers=(worker,))), parse_constant=pytest.fail)["workers"][0]
    assert (told["duration_p50_seconds"], told["duration_p95_seconds"], told["oldest_seconds"]) == (None, None, None)


def test_a_problem_says_whether_its_alert_fires() -> None:
    """And what it is about, without what it is not."""
    first, *_, last = report.document(TROUBLE)["problems"]
    assert first["firing"]
    assert first["subject"] == {"worker": "trading@web2", "pool": "trading", "url": "http://web2:9101/metrics"}
    assert not last["firing"]
