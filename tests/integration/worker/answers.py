"""How an app under test answers: in a JSON file that is there whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(name: str, what: Any) -> None:
    """Put a whole file in place at once."""
    draft = Path(f"{name}.draft")
    draft.write_text(json.dumps(what))
    draft.rename(name)


def read(name: Path) -> Any:
    """Read such a file."""
    return json.loads(name.read_text())
