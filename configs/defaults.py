"""Every setting there is, with its default. The other configs change what they need."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """The settings; widths and epochs are left to the configs."""
    config = ConfigDict()
    config.dataset = ConfigDict(
        {
            "name": "digits",
            "folder": placeholder(str),  # your own copy of the official archives
            "data_dir": placeholder(str),  # prepared sets; default ~/.cache
            "train_examples": placeholder(int),  # only the first so many
            "test_examples": placeholder(int),
            "mock": placeholder(int),  # this many random images, to try things out
        }
    )
    config.model = ConfigDict({"family": "mlp", "norm": "none"})
    config.widths = (64,)
    config.seeds = 2  # a number, or a tuple of seeds
    config.at_once = placeholder(int)  # networks trained together on a device
    config.train = ConfigDict(
        {
            "epochs": 1,
            "batch_size": 128,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 1e-4,
            "clip_norm": placeholder(float),
            "decay": "constant",  # or step, cosine
            "warmup_epochs": 1.0,
            "milestone_epochs": (),  # for step
            "factor": 0.1,  # for step
            "label_smoothing": 0.0,
            "augment": "none",
        }
    )
    config.copies = placeholder(dict)  # {"of": seed, "at_epoch": e}: spawned copies
    config.checkpoints = ConfigDict(
        {
            "epochs": (),  # beside step 0 and the last step, which are always there
            "steps": (),
            "every": placeholder(int),  # steps
            "log_spaced": placeholder(int),  # number of checkpoints
        }
    )
    config.methods = ("naive", "random", "weight_matching", "activation_matching")
    config.pairs = placeholder(tuple)  # of seeds; default all
    config.activation_matching = ConfigDict(
        {"at": "relu", "similarity": "raw", "examples": 10_000}
    )
    config.evaluate = ConfigDict(
        {
            "points": 25,  # of a segment
            "examples": placeholder(int),  # only the first so many of each split
            "batch_size": 500,
        }
    )
    config.simultaneous = ConfigDict(
        {"widths": (64,), "pairs": ((0, 1),), "method": "weight_matching"}
    )
    config.strong = ConfigDict(
        {
            "methods": ("weight_matching", "activation_matching"),
            "simplices": ((3, 10),),  # vertices and resolution of the grid
        }
    )
    return config


def checked(config: ConfigDict, mode: str, modes: tuple[str, ...]) -> ConfigDict:
    """`config`, after checking that its file knows the mode.

    Raises:
      ValueError: it does not.
    """
    if mode not in modes:
        known = ", ".join(f":{m}" for m in modes)
        raise ValueError(f"unknown mode :{mode}; this config has {known}")
    return config
