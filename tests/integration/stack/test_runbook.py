"""The runbook leads somewhere: to its sections, to what is done where, and to where its tools come from."""

from __future__ import annotations

import re
import runpy

import yaml

from tests.integration.stack.markdown import LOOKS, RUNBOOK, commands
from tests.integration.stack.rulebook import alerts
from tests.integration.stack.servers import ROOT

PLACES = ("otel-celery pools", "systemd", "Kubernetes", "plain")
DEEDS = {
    "Start a pool": PLACES,
    "Restart a worker": PLACES,
    "End a worker that does not end": PLACES,
    "Find a worker's main process and its log": PLACES,
}
"""What is done in another way in each place; `celery control`, which is the same everywhere, needs no more words."""


def parts(level: int) -> dict[str, str]:
    """Give the sections of a level, by their headings."""
    found = re.split(rf"(?m)^#{{{level}}} (.+)\n", re.sub(r"(?ms)^## .*", "", RUNBOOK) if level > 2 else RUNBOOK)
    return dict(zip(found[1::2], found[2::2], strict=True))


def anchor(heading: str) -> str:
    """Give a heading's anchor, as a forge makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_index_is_made_of_the_alerts() -> None:
    """Each stands once under its severity, in the order of alerts.yml; `make generated` writes it."""
    made = runpy.run_path(str(ROOT / ".ci" / "reference.py"))
    assert made["renewed"](RUNBOOK, "index", made["index"]()) == RUNBOOK, "run make generated"
    listed = {
        severity: re.findall(r"\[(\w+)\]\(#", "".join(re.findall(rf"(?m)^\| \*{severity}\* .*$", RUNBOOK)))
        for severity in ("critical", "warning")
    }
    for severity, names in listed.items():
        assert names == [name for name, alert in alerts().items() if alert["labels"]["severity"] == severity]


def test_each_link_within_it_leads_somewhere() -> None:
    """A heading that was reworded is noticed."""
    known = {anchor(heading) for heading in re.findall(r"(?m)^#+ (.+)$", RUNBOOK)}
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= known


def test_each_deed_is_told_for_each_place() -> None:
    """And alerts whose worker is to be started, restarted or ended lead there."""
    told = parts(4)
    for deed, places in DEEDS.items():
        assert [place for place in places if not re.search(rf"(#|,|;) *{place}\b", told[deed])] == [], deed
    used = {each.partition("\nDo:")[2] for each in parts(2).values()}
    for deed in told:
        assert [text for text in used if f"](#{anchor(deed)})" in text] or deed.startswith("Find"), deed


def test_each_tool_is_told_where_it_comes_from() -> None:
    """The first word of each command, and no tool that no command begins with."""
    rows = re.findall(r"(?m)^\| (`.+?) \|", parts(3)["Where the tools come from"])
    named = {tool for row in rows for tool in re.findall(r"`([\w-]+)`", row)}
    used = {re.sub(r"^(\w+=\S+ )*", "", line).split()[0] for line in commands(RUNBOOK)}
    assert named == used


def test_pools_and_units_are_those_that_there_are() -> None:
    """Of devops/kubernetes and devops/systemd."""
    kustomization = yaml.safe_load((ROOT / "devops" / "kubernetes" / "kustomization.yaml").read_text())
    for line in LOOKS:
        for namespace in re.findall(r"kubectl -n (\S+)", line):
            assert namespace == kustomization["namespace"]
        for pool in re.findall(r"deploy/celery-([\w-]+)", line):
            assert (ROOT / "devops" / "kubernetes" / "pools" / pool).is_dir()
        for pool in re.findall(r"celery-pool@([\w-]+)", line):
            assert (ROOT / "devops" / "systemd" / "pools" / f"{pool}.env").is_file()
