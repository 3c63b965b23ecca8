"""Settings: read once into dataclasses; a bad one is one clear error before any work."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import command_lines
import numpy as np
import pytest
from absl import flags
from synthetic_study import settings as small

import experiments
from configs import defaults, digits, mlp, resnet, vgg
from experiments import cli
from linconn_jax import align, checks, study
from linconn_jax.study import Study, settings

ROOT = Path(__file__).parent.parent
experiments.load()

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
    "copies": {"at_epoch": 2},
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
    "strong__through": "both",
    "weight_matching__leave_out": "kernels",
    "weight_matching__accept": 1e-6,
    "dataset__normalization": "imagenet1k",
    "train__partial_batch": 1,
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
    ("colour", "red", "unknown setting colour='red'; those of a method"),
    ("train", 5, "dict of the settings epochs, batch_size"),
    ("strong", None, "dict of the settings methods, simplices"),
    ("simultaneous__width", (3,), "did you mean simultaneous.widths?"),
    ("evaluate__points", True, "integer of at least 2"),
    ("evaluate__points", np.True_, "integer of at least 2"),
    ("train__learning_rate", True, "number"),
    ("train__weight_decay", float("inf"), "number"),
    ("widths", (8, True), "widths from 1 to 10000000"),
    ("widths", (10**10,), "widths from 1 to 10000000"),
    ("widths", (2**63,), "widths from 1 to 10000000"),
    ("seeds", 2**32, "from 1 to 10000000"),
    ("dataset__mock", 10**9, "from 1 to 1000000"),
    ("methods", "naive", "tuple of methods among naive"),
    ("copies", {"of": True, "at_epoch": 0}, "at_epoch"),
    ("dataset__function", "package.module", "package.module:function"),
    ("model", {"function": "no module:f"}, "package.module:function"),
    ("model", {"family": "mlp", "width": 3}, "but the width"),
]
# What only the data, the model, the optimiser or the schedule can tell.
UNFIT = {
    "dataset__name": ("digitz", "digitz"),
    "dataset__folder": ("nowhere", "nowhere"),
    "dataset__train_examples": (33, "33"),
    "dataset__normalization": ("imagenet", "uint8 ['n', 8, 8, 1]: normalization='own'"),
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
    ({"family": "mlp", "depth": 100_000}, "from 1 to 2000"),
    ({"family": "vgg", "depth": 15}, "15"),
]


@pytest.fixture(autouse=True)
def ordinary_promotion(monkeypatch, tmp_path):
    """Optax's schedules mix dtypes; nothing is looked for in the user's folders."""
    import jax

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with jax.numpy_dtype_promotion("standard"):
        yield


def parsed(config, sections=None):
    """The settings of a config; sections of what need not be asked for are checked."""
    found = settings.parse(config, sections or study.sections())
    asked = {e.section or n for n, e in study.experiments().items() if e.asked_by_name}
    for name in found.sections.keys() - asked:
        found.check_section(name)
    return found


def refusal(config, sections=None):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parsed(config, sections)
    return str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings(name):
    said = refusal(small(**{name: WRONG[name]}))
    assert name.replace("__", ".") in said


@pytest.mark.parametrize(("name", "value", "named"), MORE)
def test_more_wrong_settings(name, value, named):
    assert named in refusal(small(**{name: value}))


def attempt(monkeypatch, capsys, folder, changes):
    """Message of the command line's way to `weak`, which must refuse the study."""
    flags.FLAGS(["test"], known_only=True)
    monkeypatch.setattr(cli, "_study", lambda: Study(small(**changes), folder))
    code = cli._guarded("weak", ["test"])
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert not folder.exists(), sorted(folder.rglob("*"))
    return said


def test_the_command_line_refuses_in_one_message(monkeypatch, capsys, tmp_path):
    said = attempt(monkeypatch, capsys, tmp_path / "w", {"widths": (8, 0)})
    assert "widths=(8, 0)" in said


@pytest.mark.parametrize("name", UNFIT)
def test_settings_that_do_not_fit(name, monkeypatch, capsys, tmp_path):
    value, named = UNFIT[name]
    changes = {name: value}
    if name == "dataset__folder":
        changes |= {"dataset__mock": None, "dataset__name": "mnist"}
    assert named in attempt(monkeypatch, capsys, tmp_path / "w", changes)


@pytest.mark.parametrize(("model", "named"), UNFIT_MODELS)
def test_models_that_do_not_fit(model, named, monkeypatch, capsys, tmp_path):
    assert named in attempt(monkeypatch, capsys, tmp_path / "w", {"model": model})


# ---- what is read ----


def test_what_is_left_out_has_its_default():
    found = settings.parse({"train": {"epochs": 3}}, study.sections())
    assert found.train == dataclasses.replace(settings.Train(), epochs=3)
    assert found.evaluate == settings.Evaluate()
    assert (found.seeds, found.pairs, found.copies) == ((0, 1), None, None)
    assert found.model == {"family": "mlp", "norm": "none"}
    assert found.sections["strong"].simplices == ((3, 10),)


CONFIGS = [(c, "smoke") for c in (digits, mlp, vgg, resnet)]
CONFIGS += [(digits, "full"), (mlp, "fashion"), (vgg, "cpu"), (resnet, "full")]


@pytest.mark.parametrize(("config", "mode"), CONFIGS)
def test_every_config_is_read(config, mode):
    plain = config.get_config(mode).to_dict()
    found = parsed(plain)
    # Trajectories on disk are recognised by this very dict.
    del plain["train"]["precision"]  # added later, and at its default
    for name in ("partial_batch", "restart_epochs"):  # likewise, but for the paper's
        if not plain["train"][name]:
            del plain["train"][name]
    assert json.dumps(settings.identity(found.train), sort_keys=True) == json.dumps(
        plain["train"], sort_keys=True
    )


def test_defaults_of_the_configs_are_those_of_the_dataclasses():
    plain = defaults.get_config().to_dict()
    sections = study.sections()
    assert settings.parse(plain, sections) == settings.parse({}, sections)


@pytest.mark.parametrize("asked", [3, np.int64(3), (0, 1, 2), [0, 1, 2]])
def test_seeds_are_a_number_or_a_list(asked):
    assert parsed(small(seeds=asked, pairs=None, strong__simplices=())).seeds == (
        (0, 1, 2)
    )


def test_numbers_of_numpy_become_those_of_python():
    config = small(
        widths=[np.int64(3)],
        seeds=np.arange(7).tolist(),
        train__batch_size=np.int32(8),
        train__learning_rate=np.float32(0.5),
        train__nesterov=np.bool_(True),
        pairs=[[np.int64(0), np.int64(1)]],
        strong__simplices=[[3, np.int64(2)]],
    )
    found = parsed(config)
    assert (found.widths, found.pairs) == ((3,), ((0, 1),))
    assert found.sections["strong"].simplices == ((3, 2),)
    train = settings.identity(found.train)
    assert (train["batch_size"], train["learning_rate"], train["nesterov"]) == (
        (8, 0.5, True)
    )
    for value in (*found.widths, found.train.batch_size, found.pairs[0][0]):
        assert type(value) is int
    json.dumps(settings.identity(found))


def test_a_config_takes_numbers_of_numpy():
    config = vgg.get_config("smoke")
    config.seeds, config.train.batch_size = np.int64(3), np.int32(8)
    config.model.depth, config.train.nesterov = np.int64(11), np.bool_(True)
    config.train.learning_rate, config.train.epochs = np.float32(0.5), np.int64(1)
    config.copies = {"of": np.int64(0), "at_epoch": np.int64(0)}
    found = settings.parse(config.to_dict(), study.sections())
    assert json.dumps(found.model) == '{"depth": 11, "family": "vgg", "norm": "layer"}'
    assert (found.seeds, found.train.batch_size) == ((0, 1, 2), 8)
    plain = settings.parse({"model": {"family": "mlp", "depth": np.int64(2)}}, {})
    assert json.dumps(plain.model) == '{"family": "mlp", "depth": 2}'


def test_a_config_file_may_hold_whatever_a_setting_may_be():
    config = digits.get_config("smoke")
    config.seeds = (5, 2)
    config.train.epochs = 0.5
    config.copies = {"of": 5, "at_epoch": 0}
    config.simultaneous.pairs = ((5, 2),)
    config.strong.simplices = ()
    found = parsed(config.to_dict())
    assert (found.seeds, found.train.epochs) == ((5, 2), 0.5)
    assert found.copies == settings.Copies(5, 0)
    assert settings.identity(found.copies) == {"of": 5, "at_epoch": 0}


def test_a_function_takes_the_place_of_the_family():
    config = digits.get_config("smoke")
    config.model.function = "mine.nets:build"
    found = parsed(config.to_dict())
    assert found.model == {"function": "mine.nets:build", "depth": 3, "norm": "none"}


def test_sections_that_are_not_used_stand_in_nobodys_way():
    found = settings.parse({"seeds": 1, "widths": (7,)}, study.sections())
    found.check_section("weak")
    with pytest.raises(ValueError, match="two different seeds"):
        found.check_section("simultaneous")


# ---- sections from outside ----


@dataclasses.dataclass(frozen=True)
class Theirs:
    """Options of a stranger's method.

    Attributes:
      temperature: of the softmax, which
        is annealed.
      kind: soft or hard.
    """

    temperature: float = 1.0
    rounds: int = 3
    kind: Literal["soft", "hard"] = "soft"
    layers: tuple[str, ...] = ()
    limit: int | None = None
    both: tuple[int, float] = (1, 0.5)
    exact: bool = False

    def check(self, common):
        if self.rounds > len(common.seeds):
            raise ValueError("theirs.rounds: too many")


THEIRS = {"theirs": Theirs}


def test_a_plain_dataclass_is_a_section():
    given = {"temperature": np.float64(2), "layers": ["a"], "limit": 4, "both": [2, 3]}
    found = settings.parse({"seeds": 5, "theirs": given}, THEIRS)
    assert found.sections["theirs"] == Theirs(2.0, layers=("a",), limit=4, both=(2, 3))
    assert "too many" in refusal({"seeds": 2}, THEIRS)
    told = {option.name: option for option in settings.options(THEIRS)}
    assert told["theirs.temperature"].help == "of the softmax, which is annealed"
    assert told["theirs.kind"].kind.words == "one of soft, hard"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", None),
        ("rounds", 2.0),
        ("rounds", True),
        ("kind", "mild"),
        ("layers", (1,)),
        ("limit", "4"),
        ("both", (1, 2, 3)),
        ("exact", 1),
        ("temprature", 1.0),
    ],
)
def test_wrong_settings_of_a_plain_dataclass(name, value):
    assert f"theirs.{name}=" in refusal({"seeds": 5, "theirs": {name: value}}, THEIRS)


def test_sections_that_cannot_be():
    required = dataclasses.make_dataclass("Required", [("size", int)])
    opaque = dataclasses.make_dataclass("Opaque", [("size", set, None)])
    assert "theirs.size is missing" in refusal({}, {"theirs": required})
    assert "theirs.size" in refusal({}, {"theirs": opaque})
    assert "another name" in refusal({}, {"train": Theirs})
    assert "dataclass" in refusal({}, {"theirs": dict})


def test_fields_that_were_added_later_leave_old_keys_as_they_were():
    @dataclasses.dataclass(frozen=True)
    class Grown:
        old: int = 1
        new: float = checks.setting(0.5, checks.number(), added=True)

    assert settings.identity(Grown()) == {"old": 1}
    assert settings.identity(Grown(new=2)) == {"old": 1, "new": 2}
    assert "function" not in settings.identity(settings.Dataset())
    assert (
        not {"precision", "partial_batch"} & settings.identity(settings.Train()).keys()
    )
    assert "normalization" not in settings.identity(settings.Dataset())
    assert settings.identity(align.method("weight_matching").settings()) == {}
    assert settings.identity(settings.Train(precision="bfloat16"))["precision"]


# ---- the command line ----

PLUGIN = """
import dataclasses
from linconn_jax import align

@dataclasses.dataclass(frozen=True)
class Settings:
    temperature: float = 1.0

align.register(align.Method("theirs", lambda *_: None, settings=Settings))
"""
LINES = {
    "help": (["--help"], 0, "train.epochs=1\n    passes over the training set"),
    "help with a plugin": (["--plugin=mine", "--help"], 0, "theirs.temperature=1.0"),
    "a plugin in two words": (["--help", "--plugin", "mine"], 0, "theirs.temp"),
    "a plugin's setting": (
        ["--plugin=mine", "--config=CONFIG", "--config.theirs.temperature=hot"],
        2,
        "temperature",
    ),
    "without the plugin": (
        ["--config=CONFIG", "--config.theirs.temperature=2"],
        2,
        "unknown setting theirs; those of a method or an experiment of your own",
    ),
    "a misspelt setting": (
        ["--config=CONFIG", "--config.train.epoch=2"],
        2,
        'Did you mean "epochs" instead of "epoch"?\n',
    ),
    "a plugin without a name": (
        ["--plugin=", "--config=CONFIG"],
        2,
        "--plugin= cannot be imported",
    ),
    "a plugin before a flag": (
        ["--plugin", "--config=CONFIG"],
        2,
        "--plugin= cannot be imported",
    ),
    "no such flag": (["--config=CONFIG", "--colour=red"], 2, "flag 'colour'"),
    "no such plugin": (["--plugin=absent", "--config=CONFIG"], 2, "No module named"),
    "a broken plugin": (["--plugin=broken", "--help"], 2, "ZeroDivisionError"),
    "types": (
        [
            "--plugin=mine",
            "--config=CONFIG",
            "--config.theirs.temperature=2",
            "--config.seeds=(4,5)",
            "--config.train.epochs=0.5",
            "--config.copies={'of': 4, 'at_epoch': 0}",
            "--config.model.function=mine:net",
            "--config.evaluate.points=1",
        ],
        2,
        "error: evaluate.points=1",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit code and output of each command line, in a folder with two plug-ins."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "broken.py").write_text("1 / 0")
    config = f"{ROOT}/configs/digits.py:smoke"
    lines = {
        name: ["weak", *(word.replace("CONFIG", config) for word in words)]
        for name, (words, *_) in LINES.items()
    }
    return command_lines.answers(lines, cwd=folder)


@pytest.mark.parametrize("name", LINES)
def test_command_lines(name, answers):
    code, out, error = answers[name]
    assert code == LINES[name][1], error
    assert LINES[name][2] in (out if code == 0 else error)
    assert error.count("error: ") == (code != 0)
    assert "Traceback" not in error


def test_help_lists_the_flags_and_every_setting(answers):
    _, said, _ = answers["help"]
    for flag in ("--config", "--workdir", "--plugin", "--debug"):
        assert f"{flag}:" in said
    for option in settings.options(study.sections()):
        assert f"\n{option.name}" in said
        assert option.help, f"{option.name} is not explained"
