"""The report as one HTML page that needs nothing beside itself."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from linconn_jax.report import captions, endpoints, tables, verdicts
from linconn_jax.report.selection import Selection

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

# heading, name of the table and of the experiment, figures
_SECTIONS = (
    ("Weak linear connectivity", "weak", ("weak_width", "weak_segment")),
    (
        "Simultaneous weak linear connectivity",
        "simultaneous",
        ("simultaneous_lines", "simultaneous_matrix", "agreement"),
    ),
    ("Strong linear connectivity", "strong", ("strong_width", "simplex_triangle")),
    ("Training", "trajectory", ("training",)),
)
_SENTENCES = {
    "weak": verdicts.weak,
    "simultaneous": verdicts.simultaneous,
    "strong": verdicts.strong,
}


def page(selection: Selection, figures: Mapping[str, bytes], config: str | None) -> str:
    """The HTML text.

    Args:
      selection: the rows.
      figures: PNG of each figure that could be drawn, by name.
      config: text of the config, if it is known.
    """
    rows = selection.rows
    names = ", ".join(sorted(map(str, rows["dataset"].dropna().unique())))
    title = f"Linear connectivity modulo permutation: {names}"
    parts = [_tag("h1", title), _INTRODUCTION]
    parts += [f'<p class="note">{html.escape(note)}.</p>' for note in selection.notes]
    if "overview" in figures:
        parts.append(_figure("overview", figures, rows))
    for heading, experiment, drawn in _SECTIONS:
        parts.append(_tag("h2", heading))
        missing = f"Not computed yet; this does: {command(experiment, config)}"
        found = _section(selection, experiment, drawn, figures)
        parts += found or [_tag("p", missing)]
    parts += _end_points(rows) + _provenance(rows, config)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{_tag('title', title)}<style>{_STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def command(experiment: str, config: str | None) -> str:
    """The command line that computes an experiment."""
    file = _settings(config).get("file", "configs/digits.py")
    return f"python -m experiments.{experiment} --config={file}"


def _section(
    selection: Selection,
    experiment: str,
    drawn: Sequence[str],
    figures: Mapping[str, bytes],
) -> list[str]:
    table = tables.TABLES[experiment](selection)
    said = _SENTENCES.get(experiment, lambda rows: [])(selection.rows)
    parts = []
    if said:
        parts.append(f"<ul>{''.join(_tag('li', sentence) for sentence in said)}</ul>")
    for name in drawn:
        if name in figures:
            parts.append(_figure(name, figures, selection.rows))
    return parts if table is None else [*parts, _wide(table)]


def _figure(name: str, figures: Mapping[str, bytes], rows: pd.DataFrame) -> str:
    text = captions.caption(name, rows)
    data = base64.b64encode(figures[name]).decode()
    image = f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}{_tag('figcaption', text)}</figure>"


def _end_points(rows: pd.DataFrame) -> list[str]:
    table = endpoints.check(rows)
    if table is None:
        return []
    text = (
        "A permuted network computes the same function, so its own loss and error must "
        "be those of the unpermuted one, up to rounding. If they are not, no barrier "
        "above can be trusted."
    )
    return [
        _tag("h2", "End points of the permuted networks"),
        _tag("p", text),
        _wide(table),
    ]


def _provenance(rows: pd.DataFrame, config: str | None) -> list[str]:
    told = rows[["version", "jax", "device"]].drop_duplicates()
    lines = "".join(
        f"<li>linconn_jax {html.escape(str(version))}, JAX {html.escape(str(jax))}, "
        f"{html.escape(str(device))}</li>"
        for version, jax, device in told.itertuples(index=False)
    )
    parts = [_tag("h2", "Config, versions and devices"), f"<ul>{lines}</ul>"]
    if config is not None:
        parts.append(_tag("pre", json.dumps(_settings(config), indent=2)))
    return parts


def _settings(config: str | None) -> dict[str, Any]:
    return json.loads(config) if config else {}


def _wide(table: tables.Table) -> str:
    return f'<div class="wide">{table.html()}</div>'


def _tag(name: str, text: str) -> str:
    return f"<{name}>{html.escape(text)}</{name}>"
