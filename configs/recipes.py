"""The paper's recipe, and how a study is made small enough for a laptop or a try."""

from ml_collections import ConfigDict

from configs import defaults


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
    config.simultaneous.pairs = ((0, 1), (2, 3))
    config.strong.update(simplices=((3, 10), (4, 5)), through="inverse")
    config.stability.epochs = (0, 1, 2, 3, 5, 10, 20, 40, 80)
    config.pruning.update(levels=20, rewind_epoch=5)  # the authors' other one is 1
    return config


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
    config.simultaneous.update(widths=widths[1:2], pairs=((0, 1),), method=aligning[0])
    config.strong.update(methods=aligning, simplices=((3, 4),), through="each")
    config.stability.update(widths=widths[1:2], epochs=None)


def on_random_images(config: ConfigDict, *, widths: tuple[int, ...]) -> None:
    """Everything as small as can be, with no download: shows only that it runs."""
    config.dataset.mock = 64
    config.widths = widths
    config.seeds = 2
    config.train.update(epochs=2, batch_size=16, decay="cosine")
    config.train.update(milestone_epochs=(), restart_epochs=())
    config.checkpoints.epochs = (1,)
    config.activation_matching.examples = 2_000
    config.evaluate.update(examples=2_000, points=5)
    config.methods = ("naive", "weight_matching", "activation_matching")
    config.simultaneous.update(widths=widths[-1:], pairs=((0, 1),))
    config.strong.simplices = ()
    config.stability.update(widths=widths[-1:], epochs=None)
