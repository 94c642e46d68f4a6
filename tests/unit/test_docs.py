"""The pages under docs/ are in the index; each link of theirs, and of the pages at the top, leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINKING = sorted([*DOCS.rglob("*.md"), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))])


def links(page: Path) -> list[tuple[str, str]]:
    """List a page's links within the repository: the path, and the heading."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text)
    return [(path, heading) for path, heading in found]


def headings(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as a forge makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_names_each_page() -> None:
    """A page that is not in the index is not found by its readers."""
    named = {path for path, _ in links(DOCS / "README.md")}
    assert {page.name for page in PAGES} - {"README.md"} <= named


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    """A file that was moved or a heading that was reworded is noticed here."""
    for path, heading in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if heading:
            assert heading in headings(target), f"{path}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_file_that_is_named_exists(page: Path) -> None:
    """A test or a directory of tests that a page names is there, and so is the function."""
    named = re.findall(r"`((?:tests|otel_celery)/[\w/]+(?:\.py)?)(?:::(\w+))?/?`", page.read_text(encoding="utf-8"))
    for path, function in named:
        assert (ROOT / path).exists(), path
        if function:
            assert re.search(rf"^def {function}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), function
