"""What an experiment is, and the registry in which each is entered once.

An experiment is one file: its settings, the measurements it asks for, and its section of
the page. The command line, `paper`, `--help` and the report iterate over the registry.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from linconn_jax import align
from linconn_jax.registry import Registry
from linconn_jax.report import Section
from linconn_jax.study import settings as told
from linconn_jax.study.tasks import Task

if TYPE_CHECKING:
    from linconn_jax.study.study import Study


class Experiment(Section):
    """A question to the networks of a study. Override what differs.

    Attributes:
      name: also of its command.
      Settings: a frozen dataclass of options with defaults, or None.
      section: of a config, with its settings; by default called as the experiment.
      order: experiments run and stand on the page in ascending order.
      asked_by_name: whether it is run together with others only where the setting
        `experiments` names it.
    """

    Settings: ClassVar[type | None] = None
    section: ClassVar[str | None] = None
    order: ClassVar[int] = 100
    asked_by_name: ClassVar[bool] = False

    def settings(self, study: "Study") -> Any:
        """Its own settings in the study's config."""
        return study.settings.sections[self.section or self.name]

    def check(self, common: told.Settings) -> None:
        """Checks what its own settings demand of the others.

        Raises:
          ValueError: their reasons.
        """
        common.check_section(self.section or self.name)

    def tasks(self, study: "Study") -> Sequence[Task]:
        """The measurements that it asks for; nothing is trained or computed for it."""
        raise ValueError(f"the experiment {self.name!r} must say its tasks(study)")


_EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment",
    "one of your own is known once its module is imported: --plugin=module",
)
experiments = _EXPERIMENTS.all
experiment = _EXPERIMENTS.get


def register(experiment: Experiment) -> Experiment:
    """Enters an experiment, which the command line and the page know from then on.

    Raises:
      ValueError: it is no `Experiment`, lacks name or title, or its name is taken by
        another file.
    """
    if not isinstance(experiment, Experiment):
        raise ValueError(
            f"register is given {experiment!r}; it must be an instance of a subclass of "
            "linconn_jax.study.Experiment"
        )
    for attribute in ("name", "title"):
        if not isinstance(getattr(experiment, attribute, None), str):
            raise ValueError(
                f"{type(experiment).__name__} has no {attribute}; write {attribute} = "
                '"..." in the class'
            )
    return _EXPERIMENTS.enter(experiment, type(experiment))


def chosen(names: Sequence[str] | None) -> list[Experiment]:
    """Experiments by name, in order; None: those that need not be asked for by name.

    Raises:
      ValueError: there is none of that name.
    """
    if names is None:
        return [one for one in experiments().values() if not one.asked_by_name]
    named = {experiment(name).name for name in names}
    return [one for name, one in experiments().items() if name in named]


def sections() -> dict[str, type]:
    """The settings classes that methods and experiments bring along, by name.

    Raises:
      ValueError: a method and an experiment have one name.
    """
    methods = align.methods()
    asked = {e.section or name: e for name, e in experiments().items()}
    if both := sorted(methods.keys() & asked.keys()):
        raise ValueError(
            f"{both[0]!r} is a method and an experiment; their settings would have one "
            "name in a config: choose another for one of them"
        )
    found = {m.name: m.settings for m in methods.values() if m.settings}
    return found | {name: e.Settings for name, e in asked.items() if e.Settings}
