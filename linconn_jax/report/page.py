"""The report: a page of the sections of experiments, and figures beside it."""

import contextlib
import html
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, ClassVar

import pandas as pd
from matplotlib.axes import Axes

from linconn_jax import results
from linconn_jax.files import write_atomically
from linconn_jax.report import select, sentences, style, tables
from linconn_jax.report.select import Selection, select_rows
from linconn_jax.report.style import Drawing
from linconn_jax.report.tables import Table, tag


class Section:
    """What the page shows of an experiment's rows. Override what there is.

    Attributes:
      name: of the experiment, and of its list of rows.
      title: heading of its section on the page.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def tables(self, rows: Selection) -> list[Table]:
        """Printed when the experiment ends, and shown on the page."""
        return []

    def sentences(self, rows: Selection) -> Sequence[str | Table]:
        """What the numbers say, made from them; a table where they are of one form."""
        return []

    def figures(self, rows: Selection) -> list[Drawing]:
        """Its figures, with captions."""
        return []

    def panel(self, rows: Selection) -> Callable[[Axes], None] | None:
        """What draws its panel of the overview on given axes; None if it has none."""
        return None


def summary(workdir: str | os.PathLike, experiment: Section) -> str:
    """The tables of an experiment as plain text, with notes below them."""
    rows = _selected(workdir, [experiment]).get(experiment.name)
    if rows is None:
        return f"no results of {experiment.name} yet"
    found = [] if rows.everything.empty else _ask(experiment, "tables", rows)
    notes = (f"note: {note}" for note in rows.notes)
    return "\n".join([*(table.text() for table in found), *notes])


def write(workdir: str | os.PathLike, experiments: Sequence[Section]) -> Path:
    """Writes figures (PNG and PDF) and the page, `index.html`, to `workdir/report`.

    Returns the path of the page. It shows what is there; where an experiment has
    not been run, it names the command that runs it.

    Args:
      workdir: that the experiments were given.
      experiments: whose sections the page has, in this order.

    Raises:
      ValueError: the workdir holds no results, or a damaged file; a section failed; or
        two figures have the same name.
    """
    workdir = Path(workdir).absolute()
    found = _selected(workdir, experiments)
    shown = [
        e for e in experiments if e.name in found and len(found[e.name].everything)
    ]
    everything = [found[e.name].everything for e in shown]
    rows = pd.concat(everything) if shown else results.load(workdir)
    with style.context():
        overview = _overview(shown, found)
        figures = {e.name: _ask(e, "figures", found[e.name]) for e in shown}
        images = _images(workdir / "report", [*overview, *sum(figures.values(), [])])
    unknown = set(results.requested(workdir)) - {e.name for e in experiments}
    config = workdir / "config.json"
    settings = json.loads(config.read_text("utf-8")) if config.exists() else {}
    notes = (html.escape(note) for note in _notes(found, unknown))
    parts = [f'<p class="note">{note}.</p>' for note in notes]
    parts += [images[drawing.name] for drawing in overview]
    for one in experiments:
        drawn = [images[drawing.name] for drawing in figures.get(one.name, ())]
        section = _section(one, found[one.name], drawn) if one in shown else []
        missing = f"Not computed yet; this does: {command(one, settings)}"
        parts += [tag("h2", one.title), *(section or [tag("p", missing)])]
    parts += _end_points(rows) + _provenance(rows, settings)
    page = workdir / "report" / "index.html"
    names = ", ".join(sorted(map(str, rows["dataset"].dropna().unique())))
    title = f"Linear connectivity modulo permutation: {names}"
    around = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    filled = around.substitute(title=html.escape(title), parts="\n".join(parts))
    write_atomically(page, filled.encode())
    return page


def _selected(
    workdir: str | os.PathLike, experiments: Sequence[Section]
) -> dict[str, Selection]:
    """The rows of those experiments that have any, or lack some, by name."""
    asked = results.requested(workdir)
    found = {
        e.name: select_rows(workdir, e.name) for e in experiments if e.name in asked
    }
    return {n: rows for n, rows in found.items() if len(rows.everything) or rows.notes}


def command(experiment: Section, settings: Mapping[str, Any]) -> str:
    """The command line that runs an experiment."""
    config = f"--config={settings.get('file') or 'configs/digits.py'}"
    module = type(experiment).__module__
    if module.startswith("experiments."):
        return f"python -m experiments.{experiment.name} {config}"
    return f"python -m experiments.paper {config} --plugin={module}"


@contextlib.contextmanager
def _named(one: Section, part: str) -> Iterator[None]:
    """Errors inside name the experiment."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"experiment {one.name}: its {part} failed: {type(error).__name__}: {error}"
        ) from error


def _ask(one: Section, part: str, rows: Selection) -> list:
    kinds = {"tables": Table, "figures": Drawing, "sentences": str | Table}
    with _named(one, part):
        found = list(getattr(one, part)(rows))
        for x in found:
            if not isinstance(x, kinds[part]):
                raise TypeError(f"{x!r:.60} is among them, which is no {kinds[part]}")
        return found


def _overview(
    shown: Sequence[Section], found: Mapping[str, Selection]
) -> list[Drawing]:
    """One figure of the panels of the experiments that have one, four in a line."""
    panels = []
    for one in shown:
        with _named(one, "panel"):
            draw = one.panel(found[one.name])
        panels += [(one, draw)] if draw else []
    if not panels:
        return []
    columns, lines = min(len(panels), 4), -(-len(panels) // 4)
    figure, axes = style.figure(32 / 9 * columns, 43 / 12 * lines, lines, columns)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    said, plotted = [], []
    for (one, draw), axis in zip(panels, axes.flat, strict=False):
        with _named(one, "panel"):
            draw(axis)
        rows = select.barriers(found[one.name].rows, split="train")
        plotted.append(found[one.name].rows if rows.empty else rows)
        counts = "; ".join(sentences.vertices(plotted[-1]))
        said.append(f"{one.title} ({counts})" if counts else one.title)
    facts = sentences.facts(pd.concat(plotted), counted=False)
    return [Drawing("overview", figure, f"At a glance: {', '.join(said)}. {facts}")]


def _images(folder: Path, drawings: Sequence[Drawing]) -> dict[str, str]:
    """Writes the figures, removes those of the page before; their HTML by name."""
    for name, times in Counter(drawing.name for drawing in drawings).items():
        if times > 1:
            raise ValueError(
                f"{times} figures are named {name!r}; their files would be the same: "
                "give them names that begin with their experiment's"
            )
    images = {}
    for drawing in drawings:
        png = style.write(drawing.figure, folder, drawing.name)
        images[drawing.name] = drawing.html(png)
    page = folder / "index.html"
    before = page.read_text("utf-8") if page.exists() else ""
    for name in set(re.findall('<img alt="([^"]*)"', before)) - images.keys():
        for kind in ("png", "pdf"):  # it would no longer be true
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return images


def _notes(found: Mapping[str, Selection], unknown: set[str]) -> list[str]:
    """What the rows leave out, and what of the workdir is not on the page."""
    notes = [note for rows in found.values() for note in rows.notes]
    notes += [
        f"this workdir holds results of the experiment {name}, which is not known here; "
        "--plugin=its_module makes it known"
        for name in sorted(unknown)
    ]
    recipes: dict[Any, list[set[str]]] = {}
    for rows in found.values():
        for width, configs in rows.rows.groupby("width")["config"]:
            recipes.setdefault(width, []).append(set(configs))
    apart = tuple(w for w, sets in recipes.items() if not set.intersection(*sets))
    if apart:
        notes.append(
            f"experiments below were run on networks of width {style.short(apart)} that "
            "were trained on other data or with other settings than those of other "
            "experiments; run them again with one config to compare them"
        )
    return list(dict.fromkeys(notes))


def _section(one: Section, rows: Selection, drawn: Sequence[str]) -> list[str]:
    said = _ask(one, "sentences", rows)
    items = [tag("li", x) for x in said if isinstance(x, str)]
    parts = [f"<ul>{''.join(items)}</ul>"] if items else []
    parts += [x.html() for x in said if isinstance(x, Table)]
    return [*parts, *drawn, *(table.html() for table in _ask(one, "tables", rows))]


def _end_points(rows: pd.DataFrame) -> list[str]:
    text = (
        "A permuted network computes the same function, so its own loss and error must "
        "be those of the unpermuted one, up to rounding. If they are not, no barrier "
        "above can be trusted."
    )
    above = tag("h2", "End points of the permuted networks") + "\n" + tag("p", text)
    return [f"{above}\n{table.html()}" for table in tables.end_points(rows)]


def _provenance(rows: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    told = rows[["version", "jax", "device"]].drop_duplicates()
    lines = "".join(
        tag("li", f"linconn_jax {version}, JAX {jax}, {device}")
        for version, jax, device in told.itertuples(index=False)
    )
    parts = [tag("h2", "Config, versions and devices"), f"<ul>{lines}</ul>"]
    told = tag("summary", "The whole config") + tag(
        "pre", json.dumps(settings, indent=2)
    )
    return [*parts, f"<details>{told}</details>"] if settings else parts
