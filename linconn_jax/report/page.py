"""The report as one HTML page that needs nothing beside itself."""

import base64
import html
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from matplotlib.axes import Axes

from linconn_jax import results
from linconn_jax.files import write_atomically
from linconn_jax.report import endpoints, select, sentences, style
from linconn_jax.report.cleaning import Selection, select_rows
from linconn_jax.report.style import Drawing
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


_IMAGE = re.compile('<img alt="([^"]*)"')


@runtime_checkable
class Section(Protocol):
    """What the report asks of an experiment; a `study.Experiment` has it all."""

    name: str
    title: str
    tables: Callable[[Selection], list[Table]]
    sentences: Callable[[Selection], list[str]]
    figures: Callable[[Selection], list[Drawing]]
    panel: Callable[[Axes, Selection], bool]


def summary(workdir: str | os.PathLike, experiment: Section) -> str:
    """The tables of an experiment as plain text, with notes below them."""
    lines = []
    if experiment.name in results.requested(workdir):
        rows = select_rows(workdir, experiment.name)
        lines += [table.text() for table in experiment.tables(rows)]
        lines += [f"note: {note}" for note in rows.notes]
    return "\n".join(lines or [f"no results of {experiment.name} yet"])


def write(workdir: str | os.PathLike, experiments: Sequence[Section]) -> Path:
    """Writes figures (PNG and PDF) and `index.html` to `workdir/report`.

    Shows what is there; where an experiment has not been run, the page names the command
    that runs it.

    Args:
      workdir: that the experiments were given.
      experiments: whose sections the page has, in this order.

    Returns:
      The page.

    Raises:
      ValueError: the workdir holds no results, or a damaged file; or two figures have
        the same name.
    """
    workdir = Path(workdir).absolute()
    asked = results.requested(workdir)
    if not asked:
        results.load(workdir)  # says what is wrong with a folder without results
    found = {
        e.name: select_rows(workdir, e.name) for e in experiments if e.name in asked
    }
    shown = [e for e in experiments if e.name in found]
    with style.context():
        overview = _overview(shown, found)
        figures = {e.name: list(e.figures(found[e.name])) for e in shown}
        images = _images(workdir / "report", [*overview, *sum(figures.values(), [])])
    config = workdir / "config.json"
    settings = json.loads(config.read_text("utf-8")) if config.exists() else {}
    parts = [f'<p class="note">{html.escape(x)}.</p>' for x in _notes(found, asked)]
    parts += [_figure(drawing, images) for drawing in overview]
    for one in experiments:
        parts.append(_tag("h2", one.title))
        section = []
        if one.name in found:
            section = _section(one, found[one.name], figures[one.name], images)
        missing = f"Not computed yet; this does: {command(one, settings)}"
        parts += section or [_tag("p", missing)]
    everything = [x for rows in found.values() for x in (rows.rows, rows.left_out)]
    rows = pd.concat(everything) if everything else results.load(workdir)
    parts += _end_points(rows) + _provenance(rows, settings)
    page = workdir / "report" / "index.html"
    write_atomically(page, _page(_title(rows), parts).encode())
    return page


def command(experiment: Section, settings: Mapping[str, Any]) -> str:
    """The command line that runs an experiment."""
    config = f"--config={settings.get('file') or 'configs/digits.py'}"
    module = type(experiment).__module__
    if module.startswith("experiments."):
        return f"python -m experiments.{experiment.name} {config}"
    return f"python -m experiments.paper {config} --plugin={module}"


def _overview(
    shown: Sequence[Section], found: Mapping[str, Selection]
) -> list[Drawing]:
    """One figure of the panels of the experiments that have one, four in a line."""
    if not shown:
        return []
    figure, axes = style.figure(1, 1, 1, len(shown))
    panels = []
    for one, axis in zip(shown, axes.flat, strict=True):
        if one.panel(axis, found[one.name]):
            panels.append((one, axis))
        else:
            axis.remove()
    if not panels:
        return []
    columns, lines = min(len(panels), 4), -(-len(panels) // 4)
    figure.set_size_inches(32 / 9 * columns, 43 / 12 * lines)
    grid, said, plotted = figure.add_gridspec(lines, columns), [], []
    for i, (one, axis) in enumerate(panels):
        axis.set_subplotspec(grid[i])
        rows = select.barriers(found[one.name].rows, split="train")
        plotted.append(found[one.name].rows if rows.empty else rows)
        counts = "; ".join(sentences.vertices(plotted[-1]))
        said.append(f"{one.title} ({counts})" if counts else one.title)
    facts = sentences.facts(pd.concat(plotted), counted=False)
    return [Drawing("overview", figure, f"At a glance: {', '.join(said)}. {facts}")]


def _images(folder: Path, drawings: Sequence[Drawing]) -> dict[str, bytes]:
    """Writes the figures, removes those of the page before; their PNG by name."""
    for name, times in Counter(drawing.name for drawing in drawings).items():
        if times > 1:
            raise ValueError(
                f"{times} figures are named {name!r}; their files would be the same: "
                "give them names that begin with their experiment's"
            )
    images = {d.name: style.write(d.figure, folder, d.name) for d in drawings}
    page = folder / "index.html"
    before = _IMAGE.findall(page.read_text("utf-8")) if page.exists() else []
    for name in set(before) - images.keys():  # it would no longer be true
        for kind in ("png", "pdf"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return images


def _notes(found: Mapping[str, Selection], asked: Sequence[str]) -> list[str]:
    """What the rows leave out, and what of the workdir is not on the page."""
    notes = [note for rows in found.values() for note in rows.notes]
    for name in sorted(set(asked) - found.keys()):
        notes.append(
            f"this workdir holds results of the experiment {name}, which is not known "
            "here; --plugin=its_module makes it known"
        )
    recipes: dict[Any, list[set[str]]] = {}
    for rows in found.values():
        for width, configs in rows.rows.groupby("width")["config"]:
            recipes.setdefault(width, []).append(set(configs))
    apart = [
        style.short(w)
        for w, several in recipes.items()
        if not set.intersection(*several)
    ]
    if apart:
        notes.append(
            f"experiments below were run on networks of width {', '.join(apart)} "
            "that were trained on other data or with other settings than those of other "
            "experiments; run them again with one config to compare them"
        )
    return list(dict.fromkeys(notes))


def _section(
    one: Section,
    rows: Selection,
    figures: Sequence[Drawing],
    images: Mapping[str, bytes],
) -> list[str]:
    said = "".join(_tag("li", sentence) for sentence in one.sentences(rows))
    parts = [f"<ul>{said}</ul>"] if said else []
    parts += [_figure(drawing, images) for drawing in figures]
    return parts + [_wide(table) for table in one.tables(rows)]


def _figure(drawing: Drawing, images: Mapping[str, bytes]) -> str:
    data = base64.b64encode(images[drawing.name]).decode()
    image = f'<img alt="{drawing.name}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}{_tag('figcaption', drawing.caption)}</figure>"


def _end_points(rows: pd.DataFrame) -> list[str]:
    table = endpoints.check(rows)
    if table is None:
        return []
    text = (
        "A permuted network computes the same function, so its own loss and error must "
        "be those of the unpermuted one, up to rounding. If they are not, no barrier "
        "above can be trusted."
    )
    heading = "End points of the permuted networks"
    return [_tag("h2", heading), _tag("p", text), _wide(table)]


def _provenance(rows: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    told = rows[["version", "jax", "device"]].drop_duplicates()
    lines = "".join(
        _tag("li", f"linconn_jax {version}, JAX {jax}, {device}")
        for version, jax, device in told.itertuples(index=False)
    )
    parts = [_tag("h2", "Config, versions and devices"), f"<ul>{lines}</ul>"]
    return [*parts, _tag("pre", json.dumps(settings, indent=2))] if settings else parts


def _title(rows: pd.DataFrame) -> str:
    names = ", ".join(sorted(map(str, rows["dataset"].dropna().unique())))
    return f"Linear connectivity modulo permutation: {names}"


def _page(title: str, parts: Sequence[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{_tag('title', title)}<style>{_STYLE}</style></head>\n<body>"
        + "\n".join([_tag("h1", title), _INTRODUCTION, *parts])
        + "\n</body></html>\n"
    )


def _wide(table: Table) -> str:
    return f'<div class="wide">{table.html()}</div>'


def _tag(name: str, text: str) -> str:
    return f"<{name}>{html.escape(text)}</{name}>"
