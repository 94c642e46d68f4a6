"""The runbook as the port shows it: made of RUNBOOK.md, and with nothing in it that a browser has to be kept from."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import otel_celery
from devops.monitoring import runbook as made
from otel_celery.page import runbook
from otel_celery.page.runbook import Runbook
from otel_celery.watch import alerts
from tests.unit.page.document import Document

SHOWN = Document(Runbook("worker w@h").html().decode())
IDS = [value for _, attributes in SHOWN.elements for name, value in attributes if name == "id"]


def test_it_is_made_of_the_file() -> None:
    """`make generated` writes it; whoever changes the runbook has to run that."""
    assert runbook.BODY.read_text("utf-8") == made.text()


def test_a_package_that_runs_out_of_a_zip_has_it(tmp_path: Path) -> None:
    """As an application that is one file does: no path leads to what is in there."""
    archive = tmp_path / "app.zip"
    package = Path(otel_celery.__file__).parent
    with zipfile.ZipFile(archive, "w") as made_of:
        for path in (*package.glob("*.py"), *(package / "page").glob("*.*")):
            made_of.write(path, path.relative_to(package.parent))
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from otel_celery.page.runbook import Runbook; "
        f"sys.stdout.buffer.write(Runbook('worker w@h').html())"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    assert shown == Runbook("worker w@h").html()


def test_each_alert_has_its_section() -> None:
    """Under its name in lower case, which stands behind the alert's `runbook_url` as well."""
    known = alerts.read().values()
    assert {alert.section.lower() for alert in known} <= {*IDS}
    assert {alert.section for alert in known} == {*runbook.names()}
    assert len(IDS) == len({*IDS})


def test_the_alerts_lead_to_a_port_by_the_documented_command(tmp_path: Path) -> None:
    """Each to its section, and none to a file behind the port's address."""
    root = Path(__file__).parents[3]
    shutil.copy(root / "devops" / "monitoring" / "alerts.yml", tmp_path)
    (command,) = re.findall(r"^\$ (sed .*runbook_url.*)$", (root / "docs" / "port.md").read_text("utf-8"), re.MULTILINE)
    subprocess.run(shlex.split(command), check=True, cwd=tmp_path)
    links = re.findall(r"^ +runbook_url: (\S+)$", (tmp_path / "alerts.yml").read_text("utf-8"), re.MULTILINE)
    assert {*links} <= {f"http://queues.example.org:9106/-/runbook#{name}" for name in IDS}
    assert len(links) > 40


def test_a_link_leads_back_to_the_page_or_to_a_section() -> None:
    """The files beside RUNBOOK.md are not on the port, and a telephone has no Prometheus at localhost."""
    links = [str(dict(attributes)["href"]) for tag, attributes in SHOWN.elements if tag == "a"]
    assert links[0] == "../"
    assert len(links) > 60
    assert {*links[1:]} <= {f"#{name}" for name in IDS}


def test_each_mention_of_an_alert_leads_to_it() -> None:
    """Here and in RUNBOOK.md: whoever is sent on at night need not look for the section."""
    names = "|".join(runbook.names())
    prose = re.sub(r"<(pre|a|h2)\b.*?</\1>", "", Runbook("w").html().decode(), flags=re.DOTALL)
    assert re.findall(rf"\b(?:{names})\b", prose) == []
    led = re.findall(rf"\[({names})\]\(([^)]*)\)", made.SOURCE.read_text("utf-8"))
    assert [target for _, target in led] == [f"#{name.lower()}" for name, _ in led]
    assert {name for name, _ in led} == {*runbook.names()}


def test_each_anchor_of_the_file_is_a_heading_of_it() -> None:
    """As GitHub names them."""
    page = made.SOURCE.read_text("utf-8")
    headings = {made.anchor(heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    assert {*re.findall(r"\]\(#([^)]*)\)", page)} <= headings


def test_nothing_in_it_comes_from_elsewhere() -> None:
    """The style is the one that the policy names by its hash, and there is no other; a name stays text."""
    hostile = Document(Runbook("worker <script>@h").html().decode())
    assert hostile.elements == SHOWN.elements
    assert not {tag for tag, _ in SHOWN.elements} & {"script", "img", "link", "iframe", "form", "object", "svg"}
    names = {name for _, attributes in SHOWN.elements for name, _ in attributes}
    assert names == {"lang", "charset", "name", "content", "href", "id", "class", "scope"} & names
    policy = dict(Runbook.headers)["Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(SHOWN.text("style").encode()).digest()).decode()
    assert re.findall(r"'(?:sha|unsafe)[^']*'", policy) == [f"'sha256-{digest}'"]
    assert SHOWN.text("style").count("{") == SHOWN.text("style").count("}")


def test_a_terminal_gets_the_words() -> None:
    """Sections with their depth, rows as lines, and commands that can be copied."""
    text = Runbook("worker w@h").text().decode()
    assert text.startswith("# Runbook\n\nOne section an alert")
    assert "\nseverity  about  alerts\ncritical  the documented two  CeleryWorkerDown\ncritical  workers  " in text
    assert "\n\n## CeleryWorkerDown\n\ncritical, after 1 minute. " in text
    assert "\n\n$ ps -ww -o pid,stat,wchan:20,args -p <main process>\n" in text
    assert not re.search(r"</?(?:p|pre|code|em|strong|a|h\d|table|t[rdh])\b|&\w+;|\n\n\n", text)


def test_a_heading_is_named_as_github_names_it() -> None:
    """So that a link finds it here and there."""
    assert made.anchor("Find a worker's main process, and `its` log") == "find-a-workers-main-process-and-its-log"
