"""The page and figures of a report: what is missing, links, colours, verdicts."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
import synthetic_rows
from matplotlib.figure import Figure
from synthetic_rows import (
    BASE,
    BY_NAME,
    EXPERIMENTS,
    PARTS,
    Fake,
    page,
    rows,
    text_of,
    weak,
)

from experiments import one_permutation_lines, simultaneous, strong_figures
from experiments import weak as weak_file
from linconn_jax import align, report
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import lines, select, sentences, style, tables, triangles
from linconn_jax.study import Experiment

FIGURES = {
    "overview",
    "training",
    "weak_width",
    "weak_segment",
    "simultaneous_lines",
    "simultaneous_matrix",
    "agreement",
    "strong_width",
    "simplex_triangle",
}


class Flips(Experiment):
    """An experiment from outside."""

    name = "flips"
    title = "Units & signs"

    def tables(self, rows):
        counted = select.where(rows.rows, quantity="flips")
        cells = [(str(one.width), f"{one.value:g}") for one in counted.itertuples()]
        return [report.Table("Flips by width", ("width", "flips"), cells)]

    def sentences(self, rows):
        return [f"{rows.rows['value'].sum():g} units flip < all."]

    def figures(self, rows):
        drawn = Figure()  # as users make them, without our layout
        drawn.subplots().plot(rows.rows["width"], rows.rows["value"])
        return [report.Drawing("flips_width", drawn, "Flips against width.")]

    def panel(self, rows):
        return lambda axes: axes.plot(rows.rows["width"], rows.rows["value"])


def flips(fake):
    with fake.experiment("flips"):
        for width in (8, 16):
            key = fake.key(width, seeds=[0])
            fake.store(key, [{"quantity": "flips", "value": width / 2}])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workdir with everything in it, and its page."""
    workdir = tmp_path_factory.mktemp("whole")
    synthetic_rows.fill(workdir)
    return workdir, page(workdir)


@pytest.mark.parametrize("part", PARTS)
def test_one_experiment_alone_and_the_commands_of_the_rest(tmp_path, part):
    PARTS[part](Fake(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"file": "configs/toy.py:full"}))
    text = text_of(page(tmp_path))
    for experiment in EXPERIMENTS:
        name = experiment.name
        command = f"python -m experiments.{name} --config=configs/toy.py:full"
        assert (command in text) == (name != part)
        told = report.summary(tmp_path, experiment)
        assert (f"no results of {name} yet" in told) == (name != part)


def test_no_results_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no results"):
        page(tmp_path)


def test_asked_for_and_not_yet_computed(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    for name in ("strong", "flips"):
        fake.results.request(name, [{"width": 8}])
    text = text_of(page(tmp_path, Flips()))
    assert "python -m experiments.strong" in text
    assert f"--plugin={Flips.__module__}" in text
    gone = "1 of the 1 measurements that strong asked for are not on disk"
    assert gone in text
    for name in ("strong", "flips"):
        told = report.summary(tmp_path, Flips() if name == "flips" else BY_NAME[name])
        assert "no results" not in told
        assert "run it again" in told


def test_results_that_were_removed_are_told_and_the_rest_is_shown(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    assert "not on disk" not in report.summary(tmp_path, BY_NAME["weak"])
    unit = next(iter((tmp_path / "results").glob("*.json")))
    unit.unlink()
    gone = "1 of the 12 measurements that weak asked for are not on disk"
    assert f"note: {gone}" in report.summary(tmp_path, BY_NAME["weak"])
    assert gone in text_of(page(tmp_path))
    assert "naive" in text_of(page(tmp_path))
    for unit in (tmp_path / "results").glob("*.json"):
        unit.unlink()
    assert "12 of the 12" in report.summary(tmp_path, BY_NAME["weak"])
    with pytest.raises(ValueError, match="holds no results"):
        page(tmp_path)


class _Loaded(HTMLParser):
    """Collects whatever a browser would load, and counts tags that stay open."""

    def __init__(self):
        super().__init__()
        self.addresses, self.links, self.open, self.images = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        here = [v for n, v in attrs if n in ("src", "href", "srcset", "data")]
        (self.links if tag == "a" else self.addresses).extend(here)
        self.images += tag == "img"
        if tag in ("script", "link", "iframe", "object"):
            self.addresses.append(tag)
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def loaded(page):
    parser = _Loaded()
    parser.feed(page)
    assert parser.open == []
    outside = [
        a for a in parser.addresses if not a.startswith("data:image/png;base64,")
    ]
    if "url(" in page or "@import" in page:
        outside.append("style")
    return parser.images, outside


def test_the_page_needs_nothing_beside_itself(whole):
    assert loaded(whole[1]) == (len(FIGURES), [])


def test_control_an_outside_image_would_be_seen(whole):
    broken = whole[1].replace(
        '<img alt="overview" src="', '<img alt="x" src="http://x/', 1
    )
    assert len(loaded(broken)[1]) == 1


def test_figures_link_to_their_files_and_keep_a_width_that_can_be_read(whole):
    parser = _Loaded()
    parser.feed(whole[1])
    wanted = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert set(parser.links) == wanted
    assert all((whole[0] / "report" / link).exists() for link in parser.links)
    assert len(re.findall(r"<img [^>]*min-width:\d{3}px", whole[1])) == len(FIGURES)


def test_cells_of_tables_name_their_columns_and_may_move_their_ranges():
    cells = ("a & b", tables.Spread(0.5, 0.25, 1.0, 2), tables.Spread(0.5, 0.5, 0.5, 1))
    written = report.Table("said", ("name", "<loss>", "error"), [cells]).html()
    assert '<td data-label="name">a &amp; b</td>' in written
    moved = '0.500 <span class="range">(0.250..1.000)</span></td>'
    assert f'<td data-label="&lt;loss&gt;">{moved}' in written
    assert '<td data-label="error">0.500</td>' in written


def test_the_config_is_folded(whole):
    assert re.search(r"<details><summary>[^<]+</summary><pre>[^<]+toy", whole[1])


def test_sections_stand_in_the_order_of_the_experiments(whole):
    titles = [f"<h2>{experiment.title}</h2>" for experiment in EXPERIMENTS]
    places = [whole[1].index(title) for title in titles]
    assert places == sorted(places)


@pytest.mark.slow
def test_every_figure_is_written_twice_and_stale_ones_go(tmp_path):
    synthetic_rows.fill(tmp_path)
    page(tmp_path)
    folder = tmp_path / "report"
    assert {p.stem for p in folder.glob("*.png")} == FIGURES
    assert {p.stem for p in folder.glob("*.pdf")} == FIGURES
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    (folder / "mine.png").write_bytes(b"the user's own")
    (tmp_path / "requests" / "simultaneous.json").unlink()
    page(tmp_path)
    left = FIGURES - {"simultaneous_lines", "simultaneous_matrix", "agreement"}
    assert {p.stem for p in folder.glob("*.pdf")} == left
    assert {p.stem for p in folder.glob("*.png")} == left | {"mine"}


def test_captions_tell_what_is_plotted(whole):
    text = text_of(whole[1])
    assert "Data set toy; model mlp-2xW-relu-none" in text
    assert "3 pairs, 5 points each" in text
    assert "3 simplices of 3 networks, 15 points each, 3 of them inside" in text
    assert "(loss in nats; simplex of 3: 15 points each, 3 of them inside)" in text
    assert "1 pair, 5 points each; aligned by weight matching" in text
    assert "train: 100 examples; test: 100 examples; baseline: interpolated" in text
    assert "configs/toy.py:full" in text


def test_networks_by_themselves_and_pairs_without_points_are_told():
    nothing = float("nan")
    made = {"k": [1, 1, 2], "seeds": [(0,), (1,), (0, 1)], "points": [1, 1, nothing]}
    rows = pd.DataFrame({**made, "inside": nothing, "method": "naive"})
    assert sentences.vertices(rows) == ["2 networks", "1 pair"]


def test_text_from_rows_and_config_is_escaped(tmp_path):
    weak(Fake(tmp_path, dataset="<script>x</script>"), widths=(8,))
    (tmp_path / "config.json").write_text(json.dumps({"file": "<script>"}))
    written = page(tmp_path)
    assert "<script>" not in written
    assert "&lt;script&gt;x&lt;/script&gt;" in written


# ---- experiments from outside ----


def test_an_experiment_from_outside_has_its_section_and_panel(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    flips(fake)
    assert report.summary(tmp_path, Flips()).splitlines()[0] == "Flips by width"
    written = page(tmp_path, Flips())
    text = text_of(written)
    assert "Units & signs 12 units flip < all. Flips against width." in text
    assert "Flips by width width flips 8 4 16 8" in text
    assert (tmp_path / "report" / "flips_width.pdf").exists()
    assert "Weak linear connectivity (3 pairs, 5 points each;" in text
    assert "Units & signs ()" not in text
    assert loaded(written) == (4, [])  # with the overview and two of weak


def test_one_that_has_not_run_and_one_that_is_not_known(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    module = Flips.__module__
    assert f"experiments.paper --config=configs/digits.py --plugin={module}" in text_of(
        page(tmp_path, Flips())
    )
    flips(fake)
    text = text_of(page(tmp_path))
    assert "results of the experiment flips, which is not known" in text
    assert "--plugin=" in text
    assert "Units" not in text


@pytest.mark.parametrize("part", ["tables", "sentences", "figures", "panel"])
def test_what_raises_in_a_section_names_the_experiment(tmp_path, part):
    def broken(self, rows):
        raise ZeroDivisionError("by zero")

    flips(Fake(tmp_path))
    named = f"experiment flips: its {part} failed: ZeroDivisionError: by zero"
    one = type("Broken", (Flips,), {part: broken})()
    with pytest.raises(ValueError, match=named):
        page(tmp_path, one)
    if part == "tables":
        with pytest.raises(ValueError, match=named):
            report.summary(tmp_path, one)


def test_a_panel_that_raises_while_it_is_drawn(tmp_path):
    class Broken(Flips):
        def panel(self, rows):
            return lambda axes: axes.no_such_call()

    flips(Fake(tmp_path))
    with pytest.raises(ValueError, match="flips: its panel failed: AttributeError"):
        page(tmp_path, Broken())


def test_figures_have_names_of_their_own(tmp_path):
    class Twice(Flips):
        def figures(self, rows):
            return 2 * super().figures(rows)

    flips(Fake(tmp_path))
    with pytest.raises(ValueError, match="2 figures are named 'flips_width'"):
        page(tmp_path, Twice())
    with pytest.raises(ValueError, match="Python identifier"):
        report.Drawing("../x", Figure(), "")


def test_experiments_of_different_trainings_are_told(tmp_path):
    fake = Fake(tmp_path)
    weak(fake, widths=(8,))
    assert "other settings" not in text_of(page(tmp_path))
    with fake.experiment("strong"):
        fake.barrier(8, (0, 1), 1.0, config="another")
    assert "other settings" in text_of(page(tmp_path))


# ---- what the numbers say ----


def test_verdicts_follow_the_numbers(tmp_path):
    said = {}
    for name, value in (("flat", 0.15), ("steep", 0.25)):  # errors 0.015 and 0.025
        fake = Fake(tmp_path / name)
        with fake.experiment("weak"):
            for width in (8, 16):
                fake.barrier(width, (0, 1), 1.0)
                fake.barrier(width, (0, 1), value * 8 / width, method="weight_matching")
        chosen = report.select_rows(tmp_path / name, "weak")
        said[name] = weak_file.EXPERIMENT.sentences(chosen)
    flat, (steep, against) = said["flat"][0], said["steep"]
    assert "(mean of 1 pair a width) is at or below 0.02 at width 8 and 16;" in flat
    assert "at or below 0.02 at width 16 and above it at width 8;" in steep
    assert "falls at every step of width, from 0.250 at width 8 to 0.125" in steep
    assert "in 2 of 2 cases" in against


def test_simultaneous_verdict_by_hand(whole):
    chosen = report.select_rows(whole[0], "simultaneous")
    along, end = simultaneous.EXPERIMENT.sentences(chosen)
    assert "lowers the mean training loss barrier of 1 pair at 2 of 3" in along
    assert "(not at epoch 0)" in along
    assert "0.02 at the end of training is that of epoch 4." in end


def test_strong_verdicts_are_a_table_by_hand(whole):
    chosen = report.select_rows(whole[0], "strong")
    [table, *words] = BY_NAME["strong"].sentences(chosen)
    assert all(isinstance(x, str) for x in words)  # nothing to compare with
    lines = {row[:2]: row[2:] for row in table.rows}
    # loss 1.5 * 2 * 0.1 * 8 / width, error a tenth of it
    third = lines["pair, through a third network", "weight matching"]
    assert third[:4] == ("3 pairs", "16", "8", "none")
    assert third[4:] == ("0.300 at 8", "0.150 at 16", "1 of 1 steps")
    assert len(lines) == 4
    assert not any(kind == "pair" for kind, _ in lines)
    assert table.caption in text_of(whole[1])


def test_end_points_show_a_permutation_that_changes_the_function(tmp_path):
    weak(Fake(tmp_path / "right"), widths=(8,))
    [right] = tables.end_points(rows(tmp_path / "right", "weak"))
    assert {row[3] for row in right.rows} == {"0"}
    fake = Fake(tmp_path / "wrong")
    with fake.experiment("weak"):
        fake.barrier(8, (0, 1), 1.0)
        fake.barrier(8, (0, 1), 0.1, method="weight_matching", end=0.31)
    [wrong] = tables.end_points(rows(tmp_path / "wrong", "weak"))
    # loss: (0.31 - 0.01) * 2 on test data; error a tenth of it
    assert wrong.rows == [("8", "weight matching", "4", "0.6", "0.06")]


def test_end_points_show_a_wrong_inverse(tmp_path):
    """A network moved by the inverse of a fit is one that is permuted, too."""
    fake = Fake(tmp_path)
    one, two = ({"config": "digest8", "seed": s, "step": 40} for s in (0, 1))
    fit = {"method": "weight_matching", "options": {}, "networks": [one, two]}
    back = {"network": one, "alignment": fit, "i": 1, "inverse": True}
    with fake.experiment("strong"):
        fake.barrier(8, (0, 1), 1.0)
        moved = {"method": "weight_matching", "vertices": [two, back]}
        fake.barrier(8, (1, 0), 0.1, end=0.31, **moved)
    [wrong] = tables.end_points(rows(tmp_path, "strong"))
    assert [line[1] for line in wrong.rows] == ["weight matching"]
    assert wrong.rows[0][3] != "0"


def test_end_points_count_shared_rows_once(whole):
    text = text_of(whole[1])
    assert "8 random permutation 12 0 0" in text  # 3 pairs, 4 numbers each
    # 3 pairs, which weak and strong share; both ends of 3, and two corners of 3
    assert "8 weight matching 60 0 0" in text


def test_end_points_leave_out_vertices_that_are_more_than_permuted(tmp_path):
    fake = Fake(tmp_path)
    network = {"config": "digest8", "seed": 1, "step": 40}
    pruned = {"network": network, "alignment": {}, "i": 1, "kept": 0.5}
    with fake.experiment("weak"):
        fake.barrier(8, (0, 1), 1.0)
        plain = {"config": "digest8", "seed": 0, "step": 40}
        fake.barrier(8, (0, 1), 1.0, end=5.0, vertices=[plain, pruned])
    assert tables.end_points(rows(tmp_path, "weak")) == []


# ---- how it is drawn ----


def test_a_method_has_one_colour_and_the_threshold_is_on_error_panels(whole):
    drawn = weak_file.against_width(select.barriers(rows(whole[0], "weak")))
    loss, _, error, _ = drawn.axes
    for method in BASE:
        for axes in (loss, error):
            own = [
                x for x in axes.get_lines() if x.get_label() == style.look(method).label
            ]
            assert [x.get_color() for x in own] == [
                style.lighter(style.look(method).colour, 0.0)
            ]

    def dotted(axes):
        return [x for x in axes.get_lines() if set(x.get_ydata()) == {LMC_THRESHOLD}]

    assert (len(dotted(loss)), len(dotted(error))) == (0, 1)
    means = next(x for x in loss.get_lines() if x.get_label() == "weight matching")
    assert list(means.get_xdata()) == [8, 16]
    assert list(means.get_ydata()) == pytest.approx([0.1 + 0.01 / 3, 0.05 + 0.01 / 3])


def test_looks_are_those_of_the_registered_methods(whole):
    for name, method in align.methods().items():
        look = style.look(name)
        assert (look.label, look.marker) == (method.label, method.marker)
    assert style.look("of_a_stranger").label == "of a stranger"
    assert style.look(("a", "b")).label == "a, b"
    found = rows(whole[0], "weak")
    strange = found.assign(method=found["method"].replace("naive", "of_a_stranger"))
    known = [m for m in align.methods() if m in BASE]
    assert select.methods(found) == known
    assert select.methods(strange) == [*known[1:], "of_a_stranger"]
    assert select.methods(strange, aligning=True) == [*known[2:], "of_a_stranger"]


def test_a_kind_of_simplex_has_one_look_whatever_else_a_method_has(whole):
    found = select.barriers(rows(whole[0], "strong"), split="train", metric="loss")
    looks = []
    for part in (found, found[found["k"] == 3]):
        _, axes = style.figure(3, 3, 1, 1)
        strong_figures.overview(axes[0, 0], part)
        drawn = [(x.get_linestyle(), x.get_marker()) for x in axes[0, 0].get_lines()]
        labels = [x.get_label() for x in axes[0, 0].get_lines()]
        looks.append(dict(zip(labels, drawn, strict=True)))
    both, simplices = looks
    kind = "simplex of 3 networks, weight matching"
    third = "pair, through a third network, weight matching"
    assert third not in simplices
    assert both[kind] == simplices[kind] != both[third]


def test_aligned_triangles_have_a_colour_scale_of_their_own(whole):
    found = strong_figures.first_three(rows(whole[0], "strong"))
    drawn = triangles.triangles(found)
    bars = {x.get_ylabel(): x for x in drawn.axes if x.get_ylabel()}
    assert len(bars) == 2
    values = select.where(found, quantity="value")
    for label, is_naive in (("not aligned", True), ("aligned", False)):
        own = values[(values["method"] == "naive") == is_naive]["value"]
        [bar] = [x for name, x in bars.items() if name.endswith(f", {label}")]
        assert bar.get_ylim() == pytest.approx((0.0, own.max()))


def test_a_colour_scale_names_the_epochs_and_the_legend_only_the_rest(whole):
    chosen = report.select_rows(whole[0], "simultaneous")
    found, _ = simultaneous.EXPERIMENT.parts(chosen)
    drawn = one_permutation_lines.along(simultaneous.EXPERIMENT.kind, found)
    told = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert told == {"P_T", "anew at t = t′", "naive"}
    [bar] = [x for x in drawn.axes if "P was found" in x.get_ylabel()]
    assert [text.get_text() for text in bar.get_yticklabels()] == ["0", "1", "4"]


def test_lines_go_against_any_column(whole):
    found = select.barriers(rows(whole[0], "weak"), split="train", metric="loss")
    found = select.where(found, method="naive").assign(sparsity=found["width"] - 8)
    _, axes = style.figure(3, 3, 1, 1)
    lines.against(axes[0, 0], found, "naive", column="sparsity")
    style.level_axis(axes[0, 0], select.levels(found, "sparsity"), "sparsity")
    assert list(axes[0, 0].get_lines()[1].get_xdata()) == [0, 8]
    assert axes[0, 0].get_xscale() == "linear"
    assert axes[0, 0].get_xlabel() == "sparsity"


def test_nothing_is_said_or_drawn_of_nothing(whole):
    chosen = report.select_rows(whole[0], "weak")
    nothing = report.Selection(chosen.rows[:0], chosen.left_out[:0], {}, ())
    for experiment in EXPERIMENTS:
        assert experiment.tables(nothing) == []
        assert experiment.sentences(nothing) == []
        assert experiment.figures(nothing) == []
        assert experiment.panel(nothing) is None
    assert tables.end_points(nothing.rows) == []
    assert strong_figures.first_three(nothing.rows).empty
