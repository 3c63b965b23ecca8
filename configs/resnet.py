"""ResNet-20 on CIFAR-10: the paper's recipe, width 16 to 512.

    python -m experiments.trajectory --config=configs/resnet.py
    python -m experiments.paper --config=configs/resnet.py

Sharma et al. 2024: LayerNorm, SGD at 0.1 with momentum 0.9, 160 epochs, a tenth of the
rate at 80 and 120, weight decay 1e-4, flips and crops. For a GPU or a TPU pod; hours.
Start it the same way in every process of a pod. Expect error barriers after weight
matching to fall with width and to cross 0.02 near width 256.

`:cpu` shows on a laptop what falls with width: widths 8 to 32 on scikit-learn's digits,
ten minutes on 2 cores. `:smoke` runs on random images in minutes.

`:imp5` and `:imp1` are the paper's runs of iterative pruning, rewound to epoch 5 and 1.
"""

from ml_collections import ConfigDict

from configs import defaults, recipes


def get_config(mode: str = "full") -> ConfigDict:
    """The settings of a mode: full, imp5, imp1, cpu or smoke."""
    config = recipes.paper("resnet", depth=20, widths=(16, 32, 64, 128, 256, 512))
    recipes.of_mode(config, mode)
    if mode == "cpu":
        recipes.on_digits(config, widths=(8, 16, 32), epochs=20, learning_rate=0.1)
    if mode == "smoke":
        recipes.on_random_images(config, widths=(2, 4))
    return defaults.checked(config, mode, ("full", *recipes.IMP, "cpu", "smoke"))
