"""README and the pages of metrics and settings say what is so: their tables follow the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_celery.catalogue import METRICS
from otel_celery.record import reference
from otel_celery.settings import table as declared
from tests.unit.record import contract

ROOT = Path(__file__).parents[2]
README, SETTINGS, COMPARE, PAGE_OF_METRICS = (
    (ROOT / name).read_text("utf-8") for name in ("README.md", "docs/settings.md", "docs/compare.md", "docs/metrics.md")
)
WORDS = 1300
"""What a stranger reads in five minutes."""


def table_of_metrics(page: str) -> str:
    """Give what stands between the marks of the generated table."""
    table = re.search(r"<!-- metrics: .*? -->\n\n(.*?)\n\n<!-- /metrics -->", page, re.DOTALL)
    assert table is not None
    return table[1]


def variables(page: str) -> set[str]:
    """List the variables of ours that a page names, those that it shortens as well."""
    named = set(re.findall(r"OTEL_PYTHON_CELERY_[A-Z_]+", page))
    return named | {f"OTEL_PYTHON_CELERY_{name}" for name in re.findall(r"`\u2026_([A-Z_]+)`", page)}


def test_the_table_of_metrics_is_the_catalogue() -> None:
    """docs/metrics.md has what `otel-celery metrics --format markdown` prints: `make generated` writes it."""
    assert table_of_metrics(PAGE_OF_METRICS) == reference.markdown()


def test_readmes_table_has_the_documented_metrics() -> None:
    """Each documented metric has the row of the whole table, without the bold; `make generated` writes it."""
    head, rule, *rows = table_of_metrics(README).splitlines()
    assert [head, rule] == reference.markdown().splitlines()[:2]
    whole = [row.replace("**", "") for row in reference.markdown().splitlines()]
    assert set(rows) <= set(whole)
    assert [row.split("`")[1] for row in rows] == [reference.exported_name(m) for m in METRICS if m.documented]
    assert {row.split("`")[1] for row in rows} == set(contract.DOCUMENTED)


def test_readme_is_short() -> None:
    """A stranger reads it in five minutes."""
    assert len(README.split()) <= WORDS


def test_readme_begins_with_the_two_commands() -> None:
    """The first block has them, and nothing else."""
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)[:1]
    assert [line.partition("#")[0].strip() for line in block.splitlines()] == ["$ make demo", "$ make test"]


def test_the_tables_of_settings_are_the_declarations() -> None:
    """docs/settings.md has each variable as it is declared: `make generated` writes it."""
    tables = re.search(r"<!-- variables: .*? -->\n\n(.*?)\n\n<!-- /variables -->", SETTINGS, re.DOTALL)
    assert tables is not None
    assert tables[1] == declared.markdown()


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md"])
def test_a_page_names_no_other_variables(page: str) -> None:
    """What another page has one set stands in the table of settings."""
    named = set(re.findall(r"\b(?:PROMETHEUS|OTEL)_[A-Z_]*[A-Z]\b", (ROOT / page).read_text("utf-8")))
    assert named
    assert named <= set(re.findall(r"\b(?:PROMETHEUS|OTEL)_[A-Z_]*[A-Z]\b", SETTINGS)) | variables(SETTINGS)


def test_our_side_of_the_comparison_is_in_the_catalogue() -> None:
    """Each metric in the second column of the tables that set names side by side is one of ours."""
    rows = re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", COMPARE, re.MULTILINE)
    names = [name for _, ours, _ in rows for name in re.findall(r"`(celery_\w+)`", ours)]
    assert len(names) > len(contract.DOCUMENTED)
    assert set(names) <= set(contract.CONTRACT)


def test_the_exporters_side_is_what_the_relabelling_adds() -> None:
    """The counters that the page calls the same are those that relabel-celery-exporter.yml gives the other's labels."""
    pairs = set(re.findall(r"^\| `celery_task_(\w+)_total` \| `celery_task_(\w+)_total` \|", COMPARE, re.MULTILINE))
    same = {(theirs, ours) for theirs, ours in pairs if theirs == ours}
    assert pairs - same == {("sent", "published")}  # which rules-celery-exporter.yml records
    relabel = (ROOT / "devops" / "monitoring" / "relabel-celery-exporter.yml").read_text("utf-8")
    (counters,) = set(re.findall(r"celery_task_\(\?:([\w|]+)\)_total", relabel))
    assert {ours for _, ours in same} | {"failures_by_exception"} == set(counters.split("|"))
