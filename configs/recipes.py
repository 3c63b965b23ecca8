"""The paper's recipe, and how a study is made small enough for a laptop or a try."""

from ml_collections import ConfigDict

from configs import defaults

IMP = {"imp5": 5, "imp1": 1}
"""Modes of iterative pruning, and the epochs that they rewind to."""


def paper(family: str, *, depth: int, widths: tuple[int, ...]) -> ConfigDict:
    """The recipe of Sharma et al. 2024 on CIFAR-10, four seeds.

    `docs/fidelity.md` says where the authors' runs differ from each other and from this.
    """
    config = defaults.get_config()
    config.dataset.update(name="cifar10", normalization="imagenet")
    config.model.update(family=family, depth=depth, norm="layer")
    config.widths = widths
    config.seeds = 4
    config.train.update(epochs=160, decay="step", milestone_epochs=(80, 120))
    config.train.update(augment="flip_crop", partial_batch=True, restart_epochs=(10,))
    config.checkpoints.epochs = (*range(1, 11), *range(20, 160, 10))
    config.evaluate.update(examples=10_000, batch_size=250)
    config.activation_matching.examples = 50_000
    two = ("simultaneous", "joint", "layers", "sparse", "distances")
    for name in two:
        config[name].pairs = ((0, 1), (2, 3))
    for name in (*two, "transport", "stability"):  # which train or measure many more
        config[name].widths = (64,)
    config.strong.update(simplices=((3, 10), (4, 5)), through="inverse")
    config.strong.methods = ("weight_matching", "activation_matching")
    config.stability.epochs = (0, 1, 2, 3, 5, 10, 20, 40, 80)
    config.pruning.update(levels=20, rewind_epoch=5)  # as in `pruned`, with all of it
    return config


def pruned(config: ConfigDict, rewind_epoch: int) -> None:
    """The authors' runs of iterative pruning, width 64: rewound to epoch 5 or to 1.

    In these the optimiser starts anew at the rewind epoch, of the dense networks as of
    all levels, and not at epoch 10 as in the runs that are not pruned.
    """
    config.experiments = ("trajectory", "weak", "sparse", "transport")
    config.widths = (64,)
    config.train.restart_epochs = (rewind_epoch,)
    config.pruning.rewind_epoch = rewind_epoch


def of_mode(config: ConfigDict, mode: str) -> None:
    """The modes `imp5` and `imp1`; other modes change nothing."""
    if mode in IMP:
        pruned(config, IMP[mode])


def on_digits(
    config: ConfigDict, *, widths: tuple[int, ...], epochs: int, learning_rate: float
) -> None:
    """Narrow networks that fit scikit-learn's digits, for a CPU.

    A warm-up of five epochs: so narrow, some seeds of a network with LayerNorm leave
    chance late or fall back to it where the rate rises faster. Activation matching
    comes first, which aligns networks as narrow as these where weight matching does not.
    """
    config.dataset.update(name="digits", normalization="own")
    config.widths = widths
    config.seeds = 3
    config.train.update(
        epochs=epochs,
        batch_size=64,
        learning_rate=learning_rate,
        warmup_epochs=5,
        decay="cosine",
        milestone_epochs=(),
        restart_epochs=(),
        augment="none",
        partial_batch=False,
    )
    config.checkpoints.epochs = (1, 5, 10)
    config.pruning.levels = 6
    config.evaluate.update(examples=None, points=11, batch_size=500)
    config.activation_matching.examples = 10_000
    aligning = ("activation_matching", "weight_matching")
    along = {"widths": widths[1:2], "method": aligning[0]}
    for name in ("simultaneous", "joint", "layers", "sparse", "distances"):
        config[name].update(pairs=((0, 1),), **along)
    for name in ("transport", "stability", "compositions"):
        config[name].update(**along)
    config.stability.epochs = None
    config.strong.update(methods=aligning, simplices=((3, 4),), through="each")


def on_random_images(config: ConfigDict, *, widths: tuple[int, ...]) -> None:
    """Everything as small as can be, with no download: shows only that it runs."""
    config.dataset.mock = 64
    config.widths = widths
    config.seeds = 3
    config.train.update(epochs=2, batch_size=16, decay="cosine")
    config.train.update(milestone_epochs=(), restart_epochs=())
    config.checkpoints.epochs = (1,)
    config.activation_matching.examples = 2_000
    config.evaluate.update(examples=2_000, points=5)
    config.methods = ("naive", "weight_matching", "activation_matching")
    config.pruning.update(levels=2, rewind_epoch=1)
    for name in ("simultaneous", "joint", "layers", "sparse", "distances"):
        config[name].update(widths=widths[-1:], pairs=((0, 1),))
    for name in ("transport", "stability"):
        config[name].widths = widths[-1:]
    config.stability.epochs = None
    config.strong.simplices = ()
