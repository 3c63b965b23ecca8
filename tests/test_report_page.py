"""The page and figures of a report: what is missing, links, colours, verdicts."""

import json
from html.parser import HTMLParser

import pytest
import synthetic_rows
from synthetic_rows import BASE, PARTS, Fake, text_of, weak

from linconn_jax import report, results
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import endpoints, figures, selection, style, verdicts

FIGURES = set(figures.__all__)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workdir with everything in it, reported on, and the text of its page."""
    return synthetic_rows.whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("part", PARTS)
def test_one_experiment_alone_and_the_commands_of_the_rest(tmp_path, part):
    PARTS[part](Fake(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"file": "configs/toy.py:full"}))
    text = text_of(report.write(tmp_path).read_text(encoding="utf-8"))
    own = {"training": "trajectory"}.get(part, part)
    command = "python -m experiments.{} --config=configs/toy.py:full"
    for name in ("trajectory", "simultaneous", "strong"):
        assert (command.format(name) in text) == (name != own)
    if part == "training":
        assert command.format("weak") in text
        assert "no results of weak yet" in report.summary(
            results.load(tmp_path), "weak"
        )


def test_no_results_and_unknown_experiments_are_refused(tmp_path, whole):
    with pytest.raises(ValueError, match="holds no results"):
        report.write(tmp_path)
    with pytest.raises(ValueError, match="must be one of trajectory, weak"):
        report.summary(results.load(whole[0]), "weka")


class _Loaded(HTMLParser):
    """Collects whatever a browser would load, and counts tags that stay open."""

    def __init__(self):
        super().__init__()
        self.addresses, self.open, self.images = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.addresses += [
            v for n, v in attrs if n in ("src", "href", "srcset", "data")
        ]
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


def test_every_figure_is_written_twice_and_stale_ones_go(whole, tmp_path):
    folder = whole[0] / "report"
    assert {p.stem for p in folder.glob("*.png")} == FIGURES
    assert {p.stem for p in folder.glob("*.pdf")} == FIGURES
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    weak(Fake(tmp_path), widths=(8,))
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "agreement.png").write_bytes(b"of an earlier run")
    report.write(tmp_path)
    assert not (tmp_path / "report" / "agreement.png").exists()
    assert (tmp_path / "report" / "weak_width.png").exists()


def test_captions_tell_what_is_plotted(whole):
    text = " ".join(text_of(whole[1]).split())
    assert "Data set toy; model mlp-2xW-relu-none" in text
    assert "3 pairs, 5 points each" in text
    assert "3 simplices of 3 networks, 15 points each" in text
    assert "1 pair, 5 points each; aligned by weight matching" in text
    assert "train: 100 examples; test: 100 examples; baseline: interpolated" in text
    assert "configs/toy.py:full" in text


def test_text_from_rows_and_config_is_escaped(tmp_path):
    weak(Fake(tmp_path, dataset="<script>x</script>"), widths=(8,))
    (tmp_path / "config.json").write_text(json.dumps({"file": "<script>"}))
    page = report.write(tmp_path).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page


def test_verdicts_follow_the_numbers(tmp_path):
    said = {}
    for name, value in (("flat", 0.15), ("steep", 0.25)):  # errors 0.015 and 0.025
        fake = Fake(tmp_path / name)
        for width in (8, 16):
            fake.barrier(width, (0, 1), 1.0)
            fake.barrier(width, (0, 1), value * 8 / width, method="weight_matching")
        rows = selection.prepare(results.load(tmp_path / name)).rows
        said[name] = verdicts.weak(rows)
    assert (
        "(mean of 1 pair a width) is at or below 0.02 at width 8 and 16;"
        in said["flat"][0]
    )
    assert "at or below 0.02 at width 16 and above it at width 8;" in said["steep"][0]
    assert (
        "falls at every step of width, from 0.250 at width 8 to 0.125"
        in said["steep"][0]
    )
    assert "in 2 of 2 cases" in said["steep"][1]


def test_simultaneous_verdict_by_hand(whole):
    rows = selection.prepare(results.load(whole[0])).rows
    along, end = verdicts.simultaneous(rows)
    assert "lowers the mean training loss barrier of 1 pair at 2 of 3" in along
    assert "(not at epoch 0)" in along
    assert "0.02 at the end of training is that of epoch 4." in end


def test_end_points_show_a_permutation_that_changes_the_function(tmp_path):
    weak(Fake(tmp_path / "right"), widths=(8,))
    right = endpoints.check(selection.prepare(results.load(tmp_path / "right")).rows)
    assert {row[3] for row in right.rows} == {"0"}
    fake = Fake(tmp_path / "wrong")
    fake.barrier(8, (0, 1), 1.0)
    fake.barrier(8, (0, 1), 0.1, method="weight_matching", end=0.31)
    wrong = endpoints.check(selection.prepare(results.load(tmp_path / "wrong")).rows)
    # loss: (0.31 - 0.01) * 2 on test data; error a tenth of it
    assert wrong.rows == (("8", "weight matching", "4", "0.6", "0.06"),)


def test_a_method_has_one_colour_and_the_threshold_is_on_error_panels(whole):
    rows = selection.prepare(results.load(whole[0])).rows
    loss, _, error, _ = figures.weak_width(rows).axes
    for method in BASE:
        for axes in (loss, error):
            drawn = [
                x for x in axes.get_lines() if x.get_label() == style.look(method).label
            ]
            assert [x.get_color() for x in drawn] == [
                style.lighter(style.look(method).colour, 0.0)
            ]

    def dotted(axes):
        return [x for x in axes.get_lines() if set(x.get_ydata()) == {LMC_THRESHOLD}]

    assert (len(dotted(loss)), len(dotted(error))) == (0, 1)
    means = next(x for x in loss.get_lines() if x.get_label() == "weight matching")
    assert list(means.get_xdata()) == [8, 16]
    assert list(means.get_ydata()) == pytest.approx([0.1 + 0.01 / 3, 0.05 + 0.01 / 3])


def test_figures_of_nothing_are_none(whole):
    rows = selection.prepare(results.load(whole[0])).rows.iloc[:0]
    assert [getattr(figures, name)(rows) for name in figures.__all__] == [None] * len(
        FIGURES
    )
