"""HTML of one page that needs nothing beside itself."""

import base64
import html
import re
from collections.abc import Sequence

from linconn_jax.report.tables import Table

_STYLE = """
body { max-width: 60rem; margin: 2rem auto 4rem; padding: 0 1.2rem; color: #1c1c1c;
  background: #fff; font: 16px/1.55 system-ui, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { margin-top: 2.8rem; font-size: 1.3rem;
  border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
figure { margin: 1.6rem 0; } figure img { max-width: 100%; height: auto; }
figcaption, caption { font-size: .86rem; color: #444; text-align: left; }
caption { padding-bottom: .4rem; }
.wide { overflow-x: auto; margin: 1.4rem 0; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .6rem .22rem 0; text-align: left; white-space: nowrap; }
th { border-bottom: 1px solid #888; } td { border-bottom: 1px solid #eee; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .8rem; }
code { background: #f2f2f2; padding: .05rem .25rem; }
.note { background: #fff6e0; padding: .5rem .8rem; }
"""

_INTRODUCTION = """
<p>Networks trained by SGD from different seeds, and three claims on them. θ is all
variables of a network, L a loss (cross-entropy) or an error (0-1), P[θ] the network
with its hidden units permuted, which computes the same function. The <b>barrier</b> of
two networks is B(θ<sub>1</sub>, θ<sub>2</sub>) = max<sub>α</sub> [ L((1−α)θ<sub>1</sub>
+ αθ<sub>2</sub>) − ((1−α)L(θ<sub>1</sub>) + αL(θ<sub>2</sub>)) ]; of k networks,
max<sub>λ</sub> [ L(Σ λ<sub>i</sub>θ<sub>i</sub>) − Σ λ<sub>i</sub>L(θ<sub>i</sub>) ]
over the simplex λ<sub>i</sub> ≥ 0, Σ λ<sub>i</sub> = 1.</p>
<ul>
<li><b>Weak</b>: for each pair A, B there is a permutation P with B(A, P[B]) ≈ 0; it may
depend on the pair.</li>
<li><b>Simultaneous</b>: for two training runs A<sub>t</sub>, B<sub>t</sub> there is one
P with B(A<sub>t</sub>, P[B<sub>t</sub>]) ≈ 0 at every epoch t.</li>
<li><b>Strong</b>: each network has one permutation, and B(P<sub>A</sub>[A],
P<sub>B</sub>[B]) ≈ 0 for all pairs at once; then simplices of three and more networks
are flat too.</li>
</ul>
<p>Definitions after Sharma, Kwok, Denton, Roy, Rolnick and Dziugaite, <i>Simultaneous
linear connectivity of neural networks modulo permutation</i> (2024). Every number and
every sentence with a number below is read from the stored results of this run.</p>
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A page: its title, what it is about, and parts that are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{tag('title', title)}<style>{_STYLE}</style></head>\n<body>"
        + "\n".join([tag("h1", title), _INTRODUCTION, *parts])
        + "\n</body></html>\n"
    )


def figure(name: str, png: bytes, caption: str) -> str:
    """An image inside the page."""
    data = base64.b64encode(png).decode()
    image = f'<img alt="{name}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}{tag('figcaption', caption)}</figure>"


def figures(page: str) -> list[str]:
    """Names of the figures on a page."""
    return re.findall('<img alt="([^"]*)"', page)


def note(text: str) -> str:
    """A sentence that stands out."""
    return f'<p class="note">{html.escape(text)}.</p>'


def wide(table: Table) -> str:
    """A table that scrolls where the window is narrow."""
    return f'<div class="wide">{table.html()}</div>'


def tag(name: str, text: str) -> str:
    """Plain text in a tag."""
    return f"<{name}>{html.escape(text)}</{name}>"
