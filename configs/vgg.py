"""VGG-16 on CIFAR-10: the paper's recipe, width 8 to 256.

    python -m experiments.trajectory --config=configs/vgg.py
    python -m experiments.paper --config=configs/vgg.py

Sharma et al. 2024: LayerNorm, SGD at 0.1 with momentum 0.9, 160 epochs, a tenth of the
rate at 80 and 120, weight decay 1e-4, flips and crops. For a GPU or a TPU pod; hours.
Start it the same way in every process of a pod. Expect error barriers after weight
matching to fall with width and to cross 0.02 near width 256.

`:cpu` shows on a laptop what falls with width: widths 16 to 48 on scikit-learn's digits
(narrower ones do not all learn): by an estimate, a quarter of an hour on 2 cores.
`:smoke` runs on random images in minutes.

`:imp5` and `:imp1` are the paper's runs of iterative pruning, rewound to epoch 5 and 1.
"""

from ml_collections import ConfigDict

from configs import defaults, recipes


def get_config(mode: str = "full") -> ConfigDict:
    """The settings of a mode: full, imp5, imp1, cpu or smoke."""
    config = recipes.paper("vgg", depth=16, widths=(8, 16, 32, 64, 128, 256))
    config.pruning.exclude = ("*/head/kernel",)
    recipes.of_mode(config, mode)
    if mode == "cpu":
        recipes.on_digits(config, widths=(16, 32, 48), epochs=40, learning_rate=0.02)
    if mode == "smoke":
        recipes.on_random_images(config, widths=(2, 4))
    return defaults.checked(config, mode, ("full", *recipes.IMP, "cpu", "smoke"))
