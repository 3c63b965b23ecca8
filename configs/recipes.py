"""The paper's recipe, and how a study is made small enough for a laptop or a try."""

from ml_collections import ConfigDict

from configs import defaults


def paper(family: str, *, depth: int, widths: tuple[int, ...]) -> ConfigDict:
    """The recipe of Sharma et al. 2024 on CIFAR-10, four seeds."""
    config = defaults.get_config()
    config.dataset.name = "cifar10"
    config.model.update(family=family, depth=depth, norm="layer")
    config.widths = widths
    config.seeds = 4
    config.train.update(
        epochs=160, decay="step", milestone_epochs=(80, 120), augment="flip_crop"
    )
    config.checkpoints.epochs = (*range(1, 11), *range(20, 160, 10))
    config.evaluate.batch_size = 250
    config.simultaneous.pairs = ((0, 1), (2, 3))
    config.strong.simplices = ((3, 10), (4, 5))
    return config


def on_a_laptop(config: ConfigDict, *, widths: tuple[int, ...], epochs: int) -> None:
    """Fewer, narrower networks on the composited photos, for a CPU."""
    config.dataset.update(
        name="fashion_photos", train_examples=20_000, test_examples=2_000
    )
    config.widths = widths
    config.seeds = 3
    config.train.update(epochs=epochs, decay="cosine", milestone_epochs=())
    config.checkpoints.epochs = tuple(range(1, epochs))
    config.activation_matching.examples = 2_000
    config.evaluate.update(examples=2_000, points=11)
    config.simultaneous.update(widths=widths[-1:], pairs=((0, 1),))
    config.strong.simplices = ((3, 4),)


def on_random_images(config: ConfigDict, *, widths: tuple[int, ...]) -> None:
    """Everything as small as can be, with no download: shows only that it runs."""
    on_a_laptop(config, widths=widths, epochs=2)
    config.dataset.update(
        name="cifar10", mock=64, train_examples=None, test_examples=None
    )
    config.seeds = 2
    config.train.batch_size = 16
    config.evaluate.points = 5
    config.methods = ("naive", "weight_matching", "activation_matching")
    config.strong.simplices = ()
