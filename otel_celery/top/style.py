"""How the live view is laid out; its colours are the terminal's own."""

from __future__ import annotations

STYLE = """
Screen { layout: vertical; }
.bar { height: 1; text-style: reverse; }
.title { height: 1; text-style: bold; }
.hidden { display: none; }
Grid { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
.tall Grid { height: auto; max-height: 25%; }
.tall #tasks { height: 1fr; max-height: 100%; }
.tall #workers { max-height: 40%; }
#strip { height: auto; max-height: 8; text-wrap: nowrap; text-overflow: ellipsis; }
#row { height: auto; max-height: 5; }
#filter { height: 1; border: none; padding: 0; display: none; }
#filter.-open { display: block; }
#close { height: 1fr; padding: 0 1; }
Close { background: ansi_default; }
"""
