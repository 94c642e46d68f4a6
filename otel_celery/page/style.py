"""The page's look, and the policy that allows a browser this style and nothing else."""

from __future__ import annotations

import base64
import hashlib

from otel_celery.page.tables import COLUMNS

_LOOK = """
:root{color-scheme:light dark;--back:#fff;--text:#1f2328;--dim:#59636e;--line:#d1d9e0;--link:#0969da;
--good:#1a7f37;--waiting:#9a6700;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--dim:#9198a1;--line:#3d444d;--link:#58a6ff;
--good:#3fb950;--waiting:#d29922;--bad:#f85149}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:80rem;background:var(--back);color:var(--text);
font:15px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:0}
h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
a{color:var(--link)}
p{margin:.4rem 0}
.state{font-weight:600}.good{color:var(--good)}.waiting{color:var(--waiting)}.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}
dt,.dim,thead th{color:var(--dim)}
dd{margin:0}
meter{width:8rem;margin-left:.6rem;vertical-align:-.1em}
nav a{margin-right:1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;font-weight:400}
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


def _labels() -> str:
    """On a telephone each row stands by itself, and each figure says what it is."""
    return "".join(
        f'.{columns.key} td:nth-child({place})::before{{content:"{head} "}}\n'
        for columns in COLUMNS
        for place, head in enumerate(columns.heads[1:], 2)
    )


STYLE = f"{_LOOK}{_labels()}}}\n"

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS: tuple[tuple[str, str], ...] = (
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
"""No script, no picture, nothing from elsewhere, in nobody's frame; nothing is kept, and no link tells where it was."""
