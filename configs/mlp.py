"""MLPs 3×512 on MNIST or Fashion-MNIST.

    python -m experiments.paper --config=configs/mlp.py
    python -m experiments.paper --config=configs/mlp.py:fashion

MNIST is downloaded (12 MB) unless `--config.dataset.folder` names your own copy;
Debian's `dataset-fashion-mnist` is found by itself. Four seeds at widths 128 and 512:
eleven minutes on 2 cores, most of them measuring. On Fashion-MNIST expect training loss
barriers near 1.8 (naive) and 0.12 to 0.15 (aligned) at both widths; Adam without weight
decay makes weight matching harder (0.36 at width 512):

    --config.train.optimizer=adam --config.train.learning_rate=0.001
    --config.train.weight_decay=0.0 --config.train.decay=constant

`:smoke` runs everything on random images in under a minute.
"""

from ml_collections import ConfigDict

from configs import defaults


def get_config(mode: str = "mnist") -> ConfigDict:
    """The settings of a mode: mnist, fashion or smoke."""
    config = defaults.get_config()
    config.dataset.name = "fashion_mnist" if mode == "fashion" else "mnist"
    config.model.depth = 3
    config.widths = (128, 512)
    config.seeds = 4
    config.train.update(epochs=20, decay="cosine")
    config.checkpoints.epochs = (1, 2, 3, 5, 10)
    config.evaluate.examples = 5_000
    config.simultaneous.update(widths=(512,), pairs=((0, 1),))
    config.strong.simplices = ((3, 6), (4, 4))
    config.pruning.update(levels=20, rewind_epoch=1)
    config.sparse.pairs = ((0, 1), (2, 3))
    if mode == "smoke":
        config.dataset.mock = 256
        config.widths = (16, 32)
        config.seeds = 3
        config.train.epochs = 2
        config.checkpoints.epochs = (1,)
        config.simultaneous.update(widths=(32,), pairs=((0, 1),))
        config.pruning.levels = 2
        config.sparse.pairs = ((0, 1),)
        config.strong.simplices = ((3, 3),)
    return defaults.checked(config, mode, ("mnist", "fashion", "smoke"))
