"""A study of seconds: seven MLPs of width 3 on random images, and all experiments."""

import experiments
from configs import digits

EXPERIMENTS = experiments.load()


def run_all(study):
    """The experiments that need not be asked for by name, in order."""
    for experiment in study.experiments():
        study.run(experiment)


def settings(**changes):
    """Settings of the small study; keys are dotted names with `__` for the dot."""
    config = digits.get_config("smoke")
    config.dataset.mock = 32
    config.widths = (3,)
    config.seeds = 7
    config.pairs = ((0, 1), (1, 2))
    config.train.update(epochs=2, batch_size=8)
    config.checkpoints.epochs = (1,)
    config.evaluate.points = 3
    config.activation_matching.examples = 16
    config.simultaneous.update(widths=(3,), pairs=((0, 1),))
    config.strong.update(methods=("weight_matching",), simplices=((3, 2), (7, 1)))
    config.layers.update(pairs=((0, 1),), curves=("put_in",))
    config.compositions.longest = 2
    plain = config.to_dict()
    for name, value in changes.items():
        *sections, last = name.split("__")
        section = plain
        for key in sections:
            section = section[key]
        section[last] = value
    return plain


def learning(**changes):
    """Settings of a small study of digits whose networks do learn something."""
    small = {
        "dataset__mock": None,
        "dataset__train_examples": 320,
        "dataset__test_examples": 64,
        "widths": (12, 16),
        "seeds": 3,
        "train__epochs": 10,
        "train__batch_size": 16,
        "simultaneous__widths": (12,),
        "strong__simplices": ((3, 2),),
    }
    return settings(**small | changes)


def files(folder):
    """Content and time of change of every file under a folder, but for locks."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
