"""Every setting can be given on the command line, and a wrong one is one sentence."""

from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

import experiments
from configs import digits
from experiments import command_line
from linconn_jax import study
from linconn_jax.study import settings

# How ml_collections imports a config file.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
experiments.load()
KNOWN = settings.options(study.sections())
FILE = f"--config={Path(__file__).parent.parent}/configs/digits.py:smoke"


def parsed(*words, prepared=True):
    """The settings of a command line, as a plain dict."""
    values, line = flags.FlagValues(), ["weak", FILE, *words]
    config = config_flags.DEFINE_config_file(
        "config", None, flag_values=values, sys_argv=line
    )
    if prepared:
        command_line.prepare(values["config"], line, KNOWN)
    values(line)
    return config.value.to_dict()


PLAIN = digits.get_config("smoke").to_dict()
OTHERS = {
    "model": {"family": "mlp", "depth": 2},
    "seeds": (3, 7),
    "copies": {"of": 1, "at_epoch": 0.5},
    "methods": ("naive",),
    "pairs": ((0, 2), (1, 2)),
}


def another(option):
    """A value of a setting other than its default."""
    if option.name in OTHERS:
        return OTHERS[option.name]
    tries = [True, 3, 0.5, (5,), (0.5, 2), ((0, 1),), ((3, 2),), "weight_matching"]
    tries += ["cosine", "a.b:c", "first", "pearson", "input", "preactivation"]
    for value in (x for x in tries if x != option.default):
        try:
            option.kind.convert(value)
        except Exception:  # noqa: S112
            continue
        return value
    return option.default


@pytest.mark.parametrize("option", KNOWN, ids=lambda option: option.name)
def test_any_setting_can_be_given(option):
    for value in (another(option), option.default):
        found = parsed(f"--config.{option.name}={value}")
        for part in option.name.split("."):
            found = found[part]
        assert option.kind.convert(found) == option.kind.convert(value)


ROOM = [
    ("model.activation", "tanh", "tanh"),
    ("model.heads", "4", 4),
    ("copies.of", "0", 0),
    ("train.epochs", "0.5", 0.5),
    ("seeds", "(3,7)", (3, 7)),
]


@pytest.mark.parametrize(("name", "text", "value"), ROOM)
def test_what_a_config_lacks_gets_room(name, text, value):
    for words in ([f"--config.{name}={text}"], [f"--config.{name}", text]):
        found = parsed(*words)
        *sections, last = name.split(".")
        for section in sections:
            found = found[section]
        assert found[last] == value


@pytest.mark.parametrize("word", ["model.activation=tanh", "copies.of=0"])
def test_without_room_they_are_refused(word):
    with pytest.raises((AttributeError, KeyError, ValueError)):
        parsed(f"--config.{word}", prepared=False)


def test_the_rest_of_a_section_stays():
    found = parsed("--config.model.activation=tanh", "--config.copies.of=2")
    assert found["model"] == PLAIN["model"] | {"activation": "tanh"}
    read = settings.parse(found, study.sections())
    assert read.copies == settings.Copies(2, 0)
    found = parsed("--config.copies.of=2", "--config.copies.at_epoch=1.5")
    assert settings.parse(found, study.sections()).copies == settings.Copies(2, 1.5)
    assert parsed() == PLAIN


SECTIONS = [
    ("dataset=mnist", "such as --config.dataset.name=mnist"),
    ("model=vgg", "such as --config.model.family=vgg"),
    ("train=5", "such as --config.train.epochs=5"),
    ("copies=3", "such as --config.copies.of=3"),
    ("strong=((3,2),)", "such as --config.strong.simplices=((3,2),)"),
]


@pytest.mark.parametrize(("word", "said"), SECTIONS)
def test_a_section_is_no_setting(word, said):
    with pytest.raises(ValueError, match="holds the settings") as caught:
        parsed(f"--config.{word}")
    assert said in str(caught.value)
    assert "ast." not in str(caught.value)


@pytest.mark.parametrize("name", ["train.epoch", "modl.depth", "activation", "pears"])
def test_what_is_no_setting_gets_no_room(name):
    with pytest.raises((AttributeError, KeyError)):
        parsed(f"--config.{name}=3")
