"""What the page says of strong connectivity, from rows whose answers are known."""

import itertools

import pandas as pd
import pytest
from synthetic_rows import BY_NAME, Fake
from synthetic_study import settings as small

from experiments import strong_figures, strong_matcher
from linconn_jax import report, simplex
from linconn_jax.barrier import LMC_THRESHOLD
from linconn_jax.report import select
from linconn_jax.study import Study

SETS = ((0, 1, 2), (1, 2, 3), (2, 3, 0), (3, 0, 1))
SHARES = (0.1, 0.2, 0.3, 0.4)
"""What aligning all at once takes away from each of the sets, unless told otherwise."""


def simplices(fake, width, method, values, **more):
    """Simplices of three of four networks, whose training loss barriers are given."""
    for seeds, value in zip(SETS, values, strict=True):
        coords = simplex.grid(3, 2)
        fake.barrier(width, seeds, value, method=method, coords=coords, **more)


def study(folder, through, joint=None, *, naive=2.0, **fake):
    """A page with barriers through a reference and all at once, by width."""
    made = Fake(folder, **fake)
    with made.experiment("strong"):
        for width, value in through.items():
            simplices(made, width, "naive", 4 * [naive])
            simplices(made, width, "weight_matching", 4 * [value])
        for width, values in (joint or {}).items():
            simplices(made, width, "fused_matching", values, path="joint")
    return made


def less(value):
    return [value * (1 - share) for share in SHARES]


def said(folder):
    chosen = report.select_rows(folder, "strong")
    found = BY_NAME["strong"].sentences(chosen)
    words = [x for x in found if isinstance(x, str)]
    return words, [x for x in found if not isinstance(x, str)]


def shares(tables):
    """The table of the matcher's share."""
    return next(x for x in tables if "share" in x.headers)


def test_the_matchers_share_by_hand(tmp_path):
    study(tmp_path, {8: 0.8, 16: 0.4}, {8: less(0.8), 16: less(0.4)})
    words, tables = said(tmp_path)
    first, _, _, error = shares(tables).rows
    methods = ("weight matching", "fused matching")
    assert first[:6] == ("3", "8", "loss", "4 simplices", *methods)
    assert first[6:8] == ("0.800", "0.600")  # 0.8 * (1 - mean of .1 .. .4)
    share = error[8]
    assert (share.mean, share.low, share.high, share.count) == pytest.approx(
        (0.25, 0.1, 0.4, 4)
    )
    # errors are a tenth of losses
    assert error[1:3] == ("16", "error")
    assert error[6:8] == ("0.040", "0.030")
    [line] = [x for x in words if "takes away" in x]
    assert "takes away 25% (width 8 and 16) of the loss and 25% (" in line
    assert "at least so much was the matcher's fault." in line
    assert "nothing" not in line


def test_each_simplex_is_compared_with_the_same_networks(tmp_path):
    """In whatever order they stand; means of all would give another share."""
    made = Fake(tmp_path)
    through = (0.1, 1.0, 1.0, 1.0)
    with made.experiment("strong"):
        simplices(made, 8, "weight_matching", through)
        for seeds, value in zip(SETS, (0.05, 1.0, 1.0, 1.0), strict=True):
            turned = seeds[1:] + seeds[:1]
            options = {"coords": simplex.grid(3, 2), "path": "joint"}
            made.barrier(8, turned, value, method="fused_matching", **options)
    line, _ = shares(said(tmp_path)[1]).rows
    assert line[8].mean == pytest.approx(0.5 / 4)
    assert line[8].mean != pytest.approx(1 - 3.05 / 3.1)  # control: ratio of means


def test_best_of_each_sort_are_compared(tmp_path):
    made = study(tmp_path, {8: 0.8}, {8: less(0.8)})
    with made.experiment("strong"):
        simplices(made, 8, "activation_matching", 4 * [0.5])
        simplices(made, 8, "learned", 4 * [0.25], path="joint")
    for line in shares(said(tmp_path)[1]).rows:
        assert line[4:6] == ("activation matching", "learned")
        assert line[8].mean == pytest.approx(0.5)


def test_best_in_loss_need_not_be_best_in_error():
    found = pd.DataFrame(
        {
            "method": ["weight_matching", "activation_matching"] * 2,
            "metric": ["loss", "loss", "error", "error"],
            "value": [0.3, 0.2, 0.01, 0.02],
        }
    )
    best = [strong_matcher._best(found, x)["method"].item() for x in ("loss", "error")]
    assert best == ["activation_matching", "weight_matching"]


def test_worse_at_once_is_said_and_no_share_claimed(tmp_path):
    study(tmp_path, {8: 0.4}, {8: 4 * [0.5]})
    [line] = [x for x in said(tmp_path)[0] if "all at once" in x and "away" in x]
    assert "takes away nothing of the loss at width 8 (0.500 at once, 0.400" in line
    assert "nor of the error at width 8 (0.050 at once, 0.040 through one)." in line
    assert "fault" not in line


def test_better_at_one_width_and_worse_at_another(tmp_path):
    study(tmp_path, {8: 0.4, 16: 0.4}, {8: 4 * [0.5], 16: less(0.4)})
    [line] = [x for x in said(tmp_path)[0] if "takes away" in x]
    assert "takes away 25% (width 16) of the loss and 25% (width 16)" in line
    assert "fault; but nothing of the loss at width 8 (0.500 at once" in line


def test_no_barrier_left_to_take_away(tmp_path):
    study(tmp_path, {8: 0.0}, {8: 4 * [0.0]})
    words, tables = said(tmp_path)
    assert any(x.endswith("nothing is left to take away.") for x in words)
    assert [row[8] for row in shares(tables).rows] == ["–", "–"]


def test_only_one_sort_of_method(tmp_path):
    study(tmp_path / "through", {8: 0.4})
    study(tmp_path / "joint", {}, {8: less(0.4)})
    words = [" ".join(said(tmp_path / name)[0]) for name in ("through", "joint")]
    assert "no method that aligns all networks at once was asked for" in words[0]
    assert "fused_matching" in words[0]
    assert "no method of two networks was asked for" in words[1]
    assert not any("fault," in x or "fault." in x for x in words)


def test_networks_that_diverged_are_not_compared(tmp_path):
    at = {8: 0.4, 16: 0.4}
    joint = {8: less(0.4), 16: less(0.4)}
    study(tmp_path, at, joint, diverged={(16, 3)})
    first, _, second, _ = shares(said(tmp_path)[1]).rows
    assert (first[3], second[3]) == ("4 simplices", "1 simplex")
    assert second[8].mean == pytest.approx(0.1)  # of networks 0, 1, 2 alone
    gone = tmp_path / "gone"
    study(gone, at, joint, diverged=set(itertools.product((8, 16), range(4))))
    assert not [x for x in said(gone)[1] if x.headers[0] == "networks" and x.rows]


def test_first_widths_with_a_low_error_barrier(tmp_path):
    through = {8: 0.4, 16: 0.3, 32: 0.1, 64: 0.3}  # errors a tenth
    joint = {8: 4 * [0.4], 16: 4 * [0.19], 32: 4 * [0.1], 64: 4 * [0.1]}
    study(tmp_path, through, joint)
    [line] = [x for x in said(tmp_path)[0] if "at or below" in x]
    assert f"is at or below {LMC_THRESHOLD} at no width by naive;" in line
    both = "first at width 32 (above it again at 64) by weight matching"
    assert f"{both} (through a reference);" in line
    assert "first at width 16 by fused matching (all at once)." in line


def test_one_width_and_several_sizes(tmp_path):
    made = study(tmp_path, {8: 0.1}, {8: less(0.1)})
    coords = {"coords": simplex.grid(4, 2)}
    with made.experiment("strong"):
        for method, value in (("naive", 2.0), ("weight_matching", 0.5)):
            made.barrier(8, (0, 1, 2, 3), value, method=method, **coords)
        more = {"path": "joint", **coords}
        made.barrier(8, (0, 1, 2, 3), 0.4, method="fused_matching", **more)
    words, tables = said(tmp_path)
    assert [row[:4] for row in shares(tables).rows[::2]] == [
        ("3", "8", "loss", "4 simplices"),
        ("4", "8", "loss", "1 simplex"),
    ]
    [four] = [x for x in words if "of 4 networks" in x and "takes away" in x]
    assert "takes away 20% (width 8) of the loss" in four
    assert any("not at width 8 by naive; at width 8 by weight" in x for x in words)


# ---- what is asked for ----


def test_all_networks_are_aligned_once_for_all_that_is_measured_of_them(tmp_path):
    methods = ("weight_matching", "fused_matching")
    chosen = {"strong__methods": methods, "strong__simplices": ((3, 2), (4, 1))}
    found = Study(small(seeds=4, pairs=None, **chosen), tmp_path)
    tasks = BY_NAME["strong"].tasks(found)
    keys = [key for task in tasks for key in task.alignments]
    joint = {key for key in keys if key.method == "fused_matching"}
    # every window of three, and all four for the pairs and the simplex of four
    assert sorted(len(key.networks) for key in joint) == [3, 3, 3, 3, 4]
    moved = {task for task in tasks if joint & {*task.alignments}}
    shapes = sorted(len(task.vertices) for task in moved)
    assert shapes == [*[2] * 6, *[3] * 4, 4]


# ---- an alignment that is no use ----


def useless(fake, name, naive, aligned):
    with fake.experiment(name):
        for width, pair in itertools.product((8, 16), ((0, 1), (0, 2))):
            fake.barrier(width, pair, naive)
            value = aligned if width == 8 else naive / 2
            fake.barrier(width, pair, value, method="weight_matching")


@pytest.mark.parametrize("name", ["weak", "strong"])
def test_where_aligning_does_not_lower_the_barrier(tmp_path, name):
    useless(Fake(tmp_path / "worse"), name, 1.0, 1.2)
    useless(Fake(tmp_path / "better"), name, 1.0, 0.9)
    useless(Fake(tmp_path / "flat"), name, 0.0, 0.0)
    worse, *fine = (
        BY_NAME[name].sentences(report.select_rows(tmp_path / x, name))
        for x in ("worse", "better", "flat")
    )
    [line] = [x for x in worse if "does not lower" in str(x)]
    assert "training loss barrier at width 8 (1.200, naive 1.000) nor the error" in line
    assert line.startswith("Pair")
    assert "weight matching: " in line
    assert "(means over the same 2 pairs)." in line
    assert "16" not in line
    assert not [x for one in fine for x in one if "does not lower" in str(x)]


def test_means_are_over_the_same_pairs(tmp_path):
    """A naive pair that no alignment has beside it must not be in the mean."""
    fake = Fake(tmp_path)
    with fake.experiment("weak"):
        fake.barrier(8, (0, 1), 1.0)
        fake.barrier(8, (0, 2), 9.0)
        fake.barrier(8, (0, 1), 1.5, method="weight_matching")
    found = BY_NAME["weak"].sentences(report.select_rows(tmp_path, "weak"))
    assert any("(1.500, naive 1.000)" in x for x in found)


# ---- the figure ----


def test_ways_of_aligning_are_told_apart(tmp_path):
    made = study(tmp_path, {8: 0.8, 16: 0.4}, {8: less(0.8), 16: less(0.4)})
    with made.experiment("strong"):
        for width in (8, 16):
            more = {"method": "weight_matching"}
            made.barrier(width, (0, 1), 2.0)
            made.barrier(width, (0, 1), 0.2, **more)
            made.barrier(width, (0, 1), 0.3, reference=2, **more)
            joint = {"method": "fused_matching", "path": "joint"}
            made.barrier(width, (0, 1), 0.1, **joint)
    rows = select.barriers(report.select_rows(tmp_path, "strong").rows, split="train")
    drawn = strong_figures.against_width(rows)
    pairs, three, *error = drawn.axes

    def looks(axes):
        return {
            x.get_label(): (x.get_linestyle(), x.get_linewidth())
            for x in axes.get_lines()
            if not x.get_label().startswith("_")
        }

    assert looks(pairs).keys() == {
        "naive",
        "weight matching, aligned to each other",
        "weight matching, through a reference",
        "fused matching, all at once",
    }
    through, joint = (
        looks(three)[x]
        for x in (
            "weight matching, through a reference",
            "fused matching, all at once",
        )
    )
    assert (through[0], joint[0]) == ("--", "-")
    assert joint[1] > through[1]
    assert looks(pairs)["weight matching, through a reference"] == through
    assert "weight matching, aligned to each other" not in looks(three)
    for axes in error:
        dotted = [x for x in axes.get_lines() if {*x.get_ydata()} == {LMC_THRESHOLD}]
        assert len(dotted) == 1
    told = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert told == looks(pairs).keys()


def test_simplices_of_every_size_are_a_kind():
    rows = pd.DataFrame({"k": [2, 3, 4, 5], "path": "direct"})
    found = [f"simplex of {k} networks" for k in (3, 4, 5)]
    assert list(strong_figures.kinds(rows)) == ["pair", *found]


def test_no_more_are_counted_than_are_compared_with_naive(tmp_path):
    made = Fake(tmp_path)
    coords = simplex.grid(3, 2)
    with made.experiment("strong"):
        simplices(made, 8, "weight_matching", 4 * [2.0])
        for seeds in SETS[:3]:
            made.barrier(8, seeds, 1.0, method="naive", coords=coords)
    [line] = [x for x in said(tmp_path)[0] if "does not lower" in x]
    assert "(means over the same 3 simplices)" in line
