"""The report: a page of the sections of experiments, and figures beside it."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from matplotlib.axes import Axes

from linconn_jax import results
from linconn_jax.files import write_atomically
from linconn_jax.report import endpoints, markup, select, sentences, style
from linconn_jax.report.cleaning import Selection, select_rows
from linconn_jax.report.markup import tag
from linconn_jax.report.style import Drawing
from linconn_jax.report.tables import Table


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
    lines = [f"no results of {experiment.name} yet"]
    for rows in _selected(workdir, [experiment]).values():
        lines = [table.text() for table in experiment.tables(rows)]
        lines += [f"note: {note}" for note in rows.notes]
    return "\n".join(lines)


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
    found = _selected(workdir, experiments)
    everything = [x for rows in found.values() for x in (rows.rows, rows.left_out)]
    rows = pd.concat(everything) if found else results.load(workdir)
    shown = [e for e in experiments if e.name in found]
    with style.context():
        overview = _overview(shown, found)
        figures = {e.name: list(e.figures(found[e.name])) for e in shown}
        images = _images(workdir / "report", [*overview, *sum(figures.values(), [])])
    unknown = set(results.requested(workdir)) - {e.name for e in experiments}
    config = workdir / "config.json"
    settings = json.loads(config.read_text("utf-8")) if config.exists() else {}
    parts = [markup.note(note) for note in _notes(found, unknown)]
    parts += [markup.figure(x.name, images[x.name], x.caption) for x in overview]
    for one in experiments:
        parts.append(tag("h2", one.title))
        section = []
        if one.name in found:
            section = _section(one, found[one.name], figures[one.name], images)
        missing = f"Not computed yet; this does: {command(one, settings)}"
        parts += section or [tag("p", missing)]
    parts += _end_points(rows) + _provenance(rows, settings)
    page = workdir / "report" / "index.html"
    names = ", ".join(sorted(map(str, rows["dataset"].dropna().unique())))
    title = f"Linear connectivity modulo permutation: {names}"
    write_atomically(page, markup.page(title, parts).encode())
    return page


def _selected(
    workdir: str | os.PathLike, experiments: Sequence[Section]
) -> dict[str, Selection]:
    """The rows of those experiments that have any, by name."""
    asked = results.requested(workdir)
    names = [experiment.name for experiment in experiments if experiment.name in asked]
    found = {name: select_rows(workdir, name) for name in names}
    return {n: rows for n, rows in found.items() if len(rows.rows) + len(rows.left_out)}


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
    before = markup.figures(page.read_text("utf-8")) if page.exists() else []
    for name in set(before) - images.keys():  # it would no longer be true
        for kind in ("png", "pdf"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return images


def _notes(found: Mapping[str, Selection], unknown: set[str]) -> list[str]:
    """What the rows leave out, and what of the workdir is not on the page."""
    notes = [note for rows in found.values() for note in rows.notes]
    for name in sorted(unknown):
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
    said = [tag("li", sentence) for sentence in one.sentences(rows)]
    parts = [f"<ul>{''.join(said)}</ul>"] if said else []
    parts += [markup.figure(x.name, images[x.name], x.caption) for x in figures]
    return parts + [markup.wide(table) for table in one.tables(rows)]


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
    return [tag("h2", heading), tag("p", text), markup.wide(table)]


def _provenance(rows: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    told = rows[["version", "jax", "device"]].drop_duplicates()
    lines = "".join(
        tag("li", f"linconn_jax {version}, JAX {jax}, {device}")
        for version, jax, device in told.itertuples(index=False)
    )
    parts = [tag("h2", "Config, versions and devices"), f"<ul>{lines}</ul>"]
    return [*parts, tag("pre", json.dumps(settings, indent=2))] if settings else parts
