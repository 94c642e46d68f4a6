"""The app under test, with a task whose name a browser could take for something else."""

from __future__ import annotations

from tests.integration.worker.proj import app, noted

MARKUP = "</style></table><script>document.title='taken'</script><b>\"'&amp;"


@app.task(name=MARKUP)
def marked() -> None:
    """Succeed."""
    with noted("marked"):
        pass
