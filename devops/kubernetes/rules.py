"""Writes shared/prometheusrule.yaml anew from devops/monitoring's rule files; a test holds them together.

A PrometheusRule's ``spec`` is a rule file, so the text is taken as it stands, comments and all, and only indented. The
group on the exporters of compose is left out: a cluster watches its Redis and PostgreSQL under other names, if at all.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = {"celery-recording": "rules.yml", "celery-alerts": "alerts.yml"}
"""The resources, and the file in devops/monitoring that each is made of."""
LEFT_OUT = "celery_exporters"
"""A group about jobs of compose's."""
TARGET = HERE / "shared" / "prometheusrule.yaml"
HEAD = """\
# Made of devops/monitoring/{file} by `make generated`: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {name}
spec:
"""


def taken(file: str) -> str:
    """Take a rule file's text without the group that is left out."""
    groups = re.split(r"(?<=\n\n)(?=  [#-])", (HERE.parent / "monitoring" / file).read_text())  # with their comments
    return "".join(group for group in groups if f"  - name: {LEFT_OUT}\n" not in group)


def resource(name: str, file: str) -> str:
    """Make one resource of one rule file."""
    return HEAD.format(name=name, file=file) + "".join(f"  {line}".rstrip() + "\n" for line in taken(file).splitlines())


def renewed() -> str:
    """Make the file's text."""
    return "---\n".join(resource(name, file) for name, file in SOURCES.items())


if __name__ == "__main__":
    TARGET.write_text(renewed())
