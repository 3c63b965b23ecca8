"""MLPs on scikit-learn's digits: all three claims in minutes, no download.

    python -m experiments.paper --config=configs/digits.py

Six seeds at five widths, trained by SGD until they fit. Expect, on 2 cores, three to
four minutes, and figures in runs/digits/report: the naive barrier stays high at
every width, the aligned one falls; one permutation, found at the end of training, lowers
the barrier all along; simplices of three networks sink with width, and those of all six
up to width 128.

`:all` runs every experiment there is: also of iterative magnitude pruning (twelve levels,
rewound to epoch 5, where the optimiser starts anew), of masks taken to other networks, of
copies, compositions, layers and distances. Eleven minutes on 2 cores.

`:smoke` takes seconds and shows only that everything runs.
"""

from ml_collections import ConfigDict

from configs import defaults

ALL = (
    *("trajectory", "weak", "simultaneous", "joint", "strong", "layers", "sparse"),
    *("transport", "compositions", "methods", "distances", "stability"),
)


def get_config(mode: str = "full") -> ConfigDict:
    """The settings of a mode: full, all or smoke."""
    config = defaults.get_config()
    config.model.depth = 3
    config.widths = (16, 32, 64, 128, 256)
    config.seeds = 6
    config.train.update(epochs=100, batch_size=64, decay="cosine", weight_decay=1e-3)
    config.checkpoints.epochs = (1, 2, 3, 5, 10, 20, 30, 50, 75)
    config.simultaneous.update(widths=(64,), pairs=((0, 1), (2, 3), (4, 5)))
    config.joint.update(widths=(64,), pairs=((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)))
    config.strong.simplices = ((3, 10), (6, 4))
    config.fused_matching.restarts = 4  # instead of 8, to stay within minutes
    if mode == "all":
        everything(config)
    if mode == "smoke":
        config.widths = (8, 16)
        config.seeds = 3
        config.train.epochs = 5
        config.checkpoints.epochs = (1, 3)
        config.pruning.levels = 2
        config.simultaneous.update(widths=(16,), pairs=((0, 1),))
        config.joint.update(widths=None, pairs=((0, 1),))
        config.strong.simplices = ((3, 4),)
    return defaults.checked(config, mode, ("full", "all", "smoke"))


def everything(config: ConfigDict) -> None:
    """All experiments, of three pairs of width 64 where one width must do."""
    config.experiments = ALL
    config.train.restart_epochs = (5,)
    config.pruning.update(levels=12, rewind_epoch=5)
    along = {"widths": (64,), "pairs": ((0, 1), (2, 3), (4, 5))}
    for name in ("joint", "sparse", "layers", "distances"):
        config[name].update(**along)
    for name in ("transport", "stability", "compositions"):
        config[name].widths = (64,)
    config.methods_compared.widths = (16, 64, 256)
