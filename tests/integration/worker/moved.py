"""Celery's command, for a worker that meets a release in which one private name of another package is gone.

T_MOVED is the name. Whatever otel_celery says of it (an import, an attribute, a method that stands in front of it, a
name that is asked for as text) is about a name that nobody has.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

NAME = re.compile(rf"(?<!\w){re.escape(os.environ['T_MOVED'])}(?!\w)")


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module of ours with the name changed, past what is cached."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile it, where the name is in it."""
        path = self.get_filename(fullname)
        moved, count = NAME.subn("_moved", self.get_data(path).decode())
        return self.source_to_code(moved.encode(), path) if count else super().get_code(fullname)


class Finder(importlib.abc.MetaPathFinder):
    """Finds our modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find one where it is, to be loaded by our loader."""
        if fullname.partition(".")[0] != "otel_celery":
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is not None and isinstance(found.loader, importlib.machinery.SourceFileLoader):
            found.loader = Loader(found.loader.name, found.loader.path)
        return found


if __name__ == "__main__":
    sys.meta_path.insert(0, Finder())
    from celery.__main__ import main

    sys.argv[0] = "celery"
    sys.exit(main())
