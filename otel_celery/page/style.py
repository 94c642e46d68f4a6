"""How the page and the runbook look, and the policy that allows a browser this style and nothing else."""

from __future__ import annotations

import base64
import hashlib

from otel_celery.page.tables import COLUMNS

_COMMON = """
:root{color-scheme:light dark;--back:#fff;--shade:#f3f5f7;--text:#1f2328;--dim:#59636e;--line:#d1d9e0;--link:#0969da;
--good:#1a7f37;--waiting:#9a6700;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--shade:#1b2129;--text:#e6edf3;--dim:#9198a1;--line:#3d444d;--link:#58a6ff;
--good:#3fb950;--waiting:#d29922;--bad:#f85149}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:80rem;background:var(--back);color:var(--text);
font:15px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:0}
h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
a{color:var(--link)}
p{margin:.4rem 0}
nav a{margin-right:1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top;font-weight:400}
thead th{color:var(--dim)}
"""

_PAGE = """
.state{font-weight:600}.good{color:var(--good)}.waiting{color:var(--waiting)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}
dt,.dim{color:var(--dim)}
dd{margin:0}
meter{width:8rem;margin-left:.6rem;vertical-align:-.1em}
th,td{text-align:right}
th:first-child{text-align:left;padding-left:0}
tbody th{font-weight:600}
.consumed{width:auto}
td.bad{font-weight:600}
@media(max-width:48rem){
thead{position:absolute;clip-path:inset(50%)}
table,tbody,tr{display:block}
tbody th,td{display:inline-block;border:0;padding:0;text-align:left}
tbody th{display:block}td{margin-right:1rem}
tr{padding:.5rem 0;border-bottom:1px solid var(--line)}
td::before{color:var(--dim);font-weight:400}
"""

_RUNBOOK = """
body{max-width:60rem}
h2{margin-top:2.4rem;padding-top:.6rem;border-top:1px solid var(--line)}
h3,h4{font-size:1rem;margin:1.4rem 0 .4rem}
:target{color:var(--bad)}
p{margin:.7rem 0}
code,pre{font:13px/1.45 ui-monospace,monospace;background:var(--shade)}
code{padding:.1em .25em;border-radius:4px}
pre{padding:.6rem .8rem;white-space:pre-wrap;border-radius:6px}
pre code{padding:0}
th,td{text-align:left;overflow-wrap:break-word}
@media(max-width:48rem){
thead{position:absolute;clip-path:inset(50%)}
table,tbody,tr{display:block}
td{display:inline-block;border:0;padding:0;margin-right:1rem}
td:last-child{display:block;margin:0}
tr{padding:.5rem 0;border-bottom:1px solid var(--line)}
}
"""


def _labels() -> str:
    """On a telephone each row stands by itself, and each figure says what it is."""
    return "".join(
        f'.{columns.key} td:nth-child({place})::before{{content:"{head} "}}\n'
        for columns in COLUMNS
        for place, head in enumerate(columns.heads[1:], 2)
    )


STYLE = f"{_COMMON}{_PAGE}{_labels()}}}\n"

RUNBOOK_STYLE = f"{_COMMON}{_RUNBOOK}"


def headers(style: str) -> tuple[tuple[str, str], ...]:
    """Allow a browser this style alone: no script, no picture, nothing from elsewhere, and in nobody's frame.

    Nothing is kept, and no link tells where it was.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    others = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return (
        ("Content-Security-Policy", f"default-src 'none'; style-src 'sha256-{digest}'; {others}"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    )
