"""What settings of several parts of a study must be."""

from typing import Any

from linconn_jax import align, checks, models
from linconn_jax.checks import Kind, setting

Number = int | float  # an integer stays one, as in the keys of results
NAME = checks.optional(checks.TEXT)
NUMBER = checks.number()
EPOCHS = checks.several(NUMBER).called("a tuple of numbers of epochs")
SEED = checks.whole(0, 2**32 - 1).called("a seed", "seeds from 0 to 2**32 - 1")
SEEDS = checks.several(SEED, least=1, distinct=True)
PAIRS = checks.several(checks.pair(SEED)).called("a tuple of pairs of different seeds")
OPTIONAL_PAIRS = checks.optional(PAIRS)
WIDTH = checks.whole(1, models.LARGEST["width"])
WIDTH = WIDTH.called("a width", f"widths from 1 to {models.LARGEST['width']}")
WIDTHS = checks.several(WIDTH)
OPTIONAL_WIDTHS = checks.optional(WIDTHS)


def plain(epoch: Number) -> Number:
    """Whole ones as integers, so that 5 and 5.0 are one name of one thing."""
    return int(epoch) if epoch == int(epoch) else epoch


def limit(help: str, most: int | None = None) -> Any:
    """A setting that is a number of things, by default None."""
    return setting(None, checks.optional(checks.whole(1, most)), help)


def method() -> Kind:
    """The name of a registered method."""
    return checks.one_of(*align.methods(), many="methods")


def aligning() -> Kind:
    """The name of a registered method other than naive."""
    return checks.one_of(*(name for name in align.methods() if name != "naive"))


def methods() -> Kind:
    """Names of registered methods."""
    return checks.several(method())


def some_widths() -> Any:
    """The setting of an experiment that looks at some of the study's widths."""
    return setting(None, OPTIONAL_WIDTHS, "some of all widths; None: the widest")
