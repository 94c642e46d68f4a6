"""Draws the pictures: ``python -m devops.monitoring.pictures DIRECTORY``, where node_modules has the packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from devops.monitoring.pictures import scene
from devops.monitoring.pictures.answers import answered
from devops.monitoring.pictures.panels import PICTURES

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "docs" / "images"
MONITORING = ROOT / "devops" / "monitoring"
DRAW = Path(__file__).with_name("draw.mjs")

SECONDS = 300
"""What the panels show of the demo."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(packages: Path) -> None:
    """Play the demo, and draw what it showed."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("pictures: there is no Chromium (Debian: apt-get install chromium)")
    node = shutil.which("node")
    if node is None:
        raise SystemExit("pictures: Node.js is not installed")
    with scene.played(SECONDS) as played:
        page = looked(f"http://localhost:{scene.PORTS[0]}/")
        answers = [answered(name, _dashboard(name), played) for name in PICTURES]
    for old in IMAGES.glob("*"):
        old.unlink()
    (IMAGES / "demo.svg").write_text(played.well, encoding="utf-8")
    (IMAGES / "top.svg").write_text(played.trouble, encoding="utf-8")
    (IMAGES / "doctor.svg").write_text(played.doctor, encoding="utf-8")
    command = [node, str(DRAW), str(IMAGES)]
    environ = {**os.environ, "CHROMIUM": browser}
    subprocess.run(  # noqa: S603  our own program
        command, cwd=packages, env=environ, input=json.dumps({"panels": answers, "page": page}), text=True, check=True
    )


def looked(url: str) -> str:
    """Ask a worker for its page, as a browser does."""
    request = urllib.request.Request(url, headers={"Accept": "text/html"})  # noqa: S310  the demo's own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  the same
        document: str = answer.read().decode()
    return document


def _dashboard(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MONITORING / PICTURES[name][0]).read_text(encoding="utf-8"))
    return document


if __name__ == "__main__":
    main(Path(sys.argv[1]))
