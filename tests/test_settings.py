"""Bad settings: each one clear error before anything is trained or written."""

import numpy as np
import pytest
from absl import flags
from synthetic_study import settings

from experiments import cli
from linconn_jax.study import Study
from linconn_jax.study import settings as rules

# What makes no sense by itself or beside another setting.
WRONG = {
    "dataset__name": "",
    "dataset__train_examples": 0,
    "dataset__test_examples": -3,
    "dataset__mock": 0,
    "dataset__folder": 7,
    "model": {"norm": "none"},
    "widths": (8, 0),
    "seeds": 0,
    "at_once": 0,
    "train__epochs": "many",
    "train__batch_size": 0,
    "train__learning_rate": float("nan"),
    "train__momentum": None,
    "train__nesterov": 1,
    "train__clip_norm": "1",
    "train__milestone_epochs": 5,
    "train__label_smoothing": True,
    "copies": {"of": 0},
    "checkpoints__epochs": (1, "2"),
    "checkpoints__steps": (1.5,),
    "checkpoints__every": 0,
    "methods": ("sorting",),
    "pairs": ((0, 0),),
    "activation_matching__similarity": "dot",
    "activation_matching__examples": -1,
    "evaluate__points": 1,
    "evaluate__examples": 0,
    "evaluate__batch_size": 0,
    "simultaneous__widths": (7,),
    "simultaneous__pairs": ((0, 9),),
    "simultaneous__method": "naive",
    "strong__methods": "weight_matching",
    "strong__simplices": ((1, 3),),
}
MORE = [
    ("widths", 8, "tuple"),
    ("widths", (), "at least one"),
    ("widths", (8, 8), "each once"),
    ("seeds", (0, 0), "each once"),
    ("seeds", (2**32,), "2**32"),
    ("seeds", 2.0, "number of seeds"),
    ("seeds", True, "number of seeds"),
    ("pairs", ((0, 9),), "two different seeds of (0, 1"),
    ("pairs", ((0, 1, 2),), "pairs of different seeds"),
    ("copies", {"of": 0, "at_epoch": "end"}, "at_epoch"),
    ("strong__simplices", ((8, 3),), "k=8"),
    ("strong__simplices", ((3, 0),), "resolution of at least 1"),
    ("train__epoch", 5, "did you mean train.epochs?"),
    ("colour", "red", "unknown setting colour='red'"),
]
# What only the data, the model, the optimiser or the schedule can tell.
UNFIT = {
    "dataset__name": ("digitz", "digitz"),
    "dataset__folder": ("nowhere", "nowhere"),
    "dataset__train_examples": (33, "33"),
    "model": ({"family": "vit"}, "vit"),
    "train__epochs": (0, "train.epochs=0"),
    "train__batch_size": (33, "batch_size=33"),
    "train__optimizer": ("lion", "lion"),
    "train__learning_rate": (-1.0, "learning_rate=-1.0"),
    "train__momentum": (1.0, "momentum=1.0"),
    "train__weight_decay": (-0.1, "weight_decay=-0.1"),
    "train__clip_norm": (0.0, "clip_norm=0.0"),
    "train__decay": ("linear", "linear"),
    "train__warmup_epochs": (3.0, "warmup_steps=12"),
    "train__augment": ("rotate", "rotate"),
    "train__label_smoothing": (1.0, "label_smoothing=1.0"),
    "copies": ({"of": 0, "at_epoch": 2}, "copies.at_epoch=2"),
    "checkpoints__epochs": ((1, 99), "[99]"),
    "activation_matching__at": ("pool", "pool"),
}
UNFIT_MODELS = [
    ({"family": "mlp", "norm": "group"}, "group"),
    ({"family": "mlp", "dept": 3}, "dept"),
    ({"family": "vgg", "depth": 15}, "15"),
]


@pytest.fixture(autouse=True)
def ordinary_promotion(monkeypatch, tmp_path):
    """Optax's schedules mix dtypes; nothing is looked for in the user's folders."""
    import jax

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with jax.numpy_dtype_promotion("standard"):
        yield


def attempt(monkeypatch, capsys, folder, changes):
    """Exit code and message of the command line's way to train such a study."""
    flags.FLAGS(["test"], known_only=True)
    monkeypatch.setattr(cli, "_study", lambda: Study(settings(**changes), folder))
    code = cli._guarded(lambda study: study.train(), ["test"])
    return code, capsys.readouterr().err


def check_refused(found, named, folder):
    code, said = found
    assert code == 2, said
    assert said.count("error: ") == 1
    assert named in said, said
    assert "Traceback" not in said
    assert not folder.exists(), sorted(folder.rglob("*"))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings(name, monkeypatch, capsys, tmp_path):
    found = attempt(monkeypatch, capsys, tmp_path / "w", {name: WRONG[name]})
    check_refused(found, name.replace("__", "."), tmp_path / "w")


@pytest.mark.parametrize(("name", "value", "named"), MORE)
def test_more_wrong_settings(name, value, named, monkeypatch, capsys, tmp_path):
    found = attempt(monkeypatch, capsys, tmp_path / "w", {name: value})
    check_refused(found, named, tmp_path / "w")


@pytest.mark.parametrize("name", UNFIT)
def test_settings_that_do_not_fit(name, monkeypatch, capsys, tmp_path):
    value, named = UNFIT[name]
    changes = {name: value}
    if name == "dataset__folder":
        changes |= {"dataset__mock": None, "dataset__name": "mnist"}
    found = attempt(monkeypatch, capsys, tmp_path / "w", changes)
    check_refused(found, named, tmp_path / "w")


@pytest.mark.parametrize(("model", "named"), UNFIT_MODELS)
def test_models_that_do_not_fit(model, named, monkeypatch, capsys, tmp_path):
    found = attempt(monkeypatch, capsys, tmp_path / "w", {"model": model})
    check_refused(found, named, tmp_path / "w")


def test_a_missing_setting_is_named():
    config = settings()
    del config["train"]["momentum"]
    with pytest.raises(ValueError, match=r"train\.momentum is missing"):
        rules.check(config)


def test_every_setting_of_the_defaults_is_known():
    from configs import defaults

    config = defaults.get_config()
    config.update(widths=(64,), seeds=3)
    rules.check(config.to_dict())
    given = set(rules._flat(config.to_dict()))
    assert given == set(rules._KINDS)
    for name in ("digits", "mlp", "vgg", "resnet"):
        config = __import__(f"configs.{name}", fromlist=[name]).get_config("smoke")
        rules.check(config.to_dict())


@pytest.mark.parametrize("asked", [3, (0, 1, 2), [0, 1, 2]])
def test_seeds_are_a_number_or_a_list(asked):
    assert rules.seeds(settings(seeds=asked)) == (0, 1, 2)
    np.testing.assert_equal(rules.seeds(settings(seeds=(5, 2))), (5, 2))
