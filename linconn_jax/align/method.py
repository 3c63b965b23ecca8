"""What an alignment method is, and the registry in which each is entered once.

A method is one file: a function from (context, networks, key, settings) to an
`Alignment`, and a call of `register`. Config files, the command line, tables and figures
take its name, label, settings, colour and marker from there.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from linconn_jax.align._examples import check_function
from linconn_jax.align._keys import seed
from linconn_jax.align.alignment import Alignment
from linconn_jax.permutation import (
    ActivationReader,
    BoundSpec,
    Spec,
    bind,
    from_indices,
)
from linconn_jax.registry import Registry
from linconn_jax.typing import Array, Key, PyTree, Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What a method may look at beside the networks.

    Attributes:
      spec: of the networks.
      apply: `(variables, inputs) -> logits`.
      activations: `(variables, inputs, *, at) -> {axis name: [samples, units]}`, written
        by hand, or None: then `reader` reads them from `apply`.
      inputs: `[examples, ...]`, un-augmented training inputs.
      labels: `[examples]`, their classes.
      batch_size: inputs that are looked at together.
    """

    spec: Spec | BoundSpec
    apply: Callable[..., Array] | None = None
    activations: Callable[..., dict[str, Array]] | None = None
    inputs: Array | None = None
    labels: Array | None = None
    batch_size: int = 512

    def reader(
        self, variables: Variables, at: str = "relu"
    ) -> Callable[..., dict[str, Array]]:
        """What gives activations, `(variables, inputs) -> {axis name: [samples, ...]}`.

        One object, or equal ones, for all networks, so that its program is compiled once.

        Args:
          variables: of a network, or their shapes.
          at: as `align.activation_matching` takes it; of activations written by hand
            whatever they know.

        Raises:
          ValueError: there are neither activations nor `apply`, or `at` is unknown.
        """
        if self.activations is not None:
            return _read_at(self.activations, at)
        return reader(bind(self.spec, variables), self.apply, at)

    def examples(self, count: int) -> Array:
        """The first so many inputs.

        Raises:
          ValueError: there are none.
        """
        if self.inputs is None:
            raise ValueError(
                "the method looks at what the networks compute, and there are no inputs; "
                "give inputs=[examples, ...], un-augmented training inputs"
            )
        return self.inputs[:count]


def reader(
    bound: BoundSpec, apply: Callable[..., PyTree] | None, at: str
) -> ActivationReader:
    """Reads the activations from `apply`.

    Raises:
      ValueError: there is none, or `at` is unknown.
    """
    if apply is None:
        raise ValueError(
            "activation matching needs the model's apply(variables, inputs), or "
            "activations=(variables, inputs) -> {axis name: [samples, ..., units]}; give "
            "one of them"
        )
    check_function(apply)
    return ActivationReader(bound, apply, at=at)


@functools.lru_cache(maxsize=16)
def _read_at(activations: Callable, at: str) -> Callable:
    """One function object for all alignments."""
    return functools.partial(activations, at=at)


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to align networks.

    Attributes:
      name: in configs, rows and files, such as "weight_matching".
      find: `find(context, networks, key, settings) -> Alignment`, with a permutation
        for each of the networks, and the same ones for the same key.
      label: for tables and figures; by default the name with spaces.
      settings: a frozen dataclass of options with defaults, or None.
      joint: whether it takes any number of networks at once. A method that is not
        joint takes two and leaves the first as it is.
      sequences: whether it takes two sequences of networks, those of the first and then
        as many of the second, and finds two permutations: one that moves nothing, for
        all of the first, and one for all of the second.
      aligns: whether it is meant to lower barriers (naive and random are not).
      check: `check(context, shapes, settings)`, raises ValueError where the method does
        not fit a model, before anything is trained; `shapes` are of its variables.
      colour: in figures, such as "#0072b2"; a spare one by default.
      marker: in figures, of matplotlib; a diamond by default.
      order: methods are listed in ascending order.
    """

    name: str
    find: Callable[[Context, Sequence[Variables], Key, Any], Alignment]
    label: str = ""
    settings: type | None = None
    joint: bool = False
    sequences: bool = False
    aligns: bool = True
    check: Callable[[Context, Variables, Any], None] | None = None
    colour: str | None = None
    marker: str = "D"
    order: int = 100

    def __post_init__(self) -> None:
        if not (self.settings is None or _all_defaults(self.settings)):
            raise ValueError(
                f"the settings of method {self.name!r} are {self.settings!r}; they must "
                "be a frozen dataclass whose fields all have defaults"
            )
        if self.joint and self.sequences:
            raise ValueError(
                f"method {self.name!r} is joint=True and sequences=True; it takes either "
                "any networks or two sequences of them: leave one out"
            )
        if not self.label:
            object.__setattr__(self, "label", self.name.replace("_", " "))

    def check_count(self, count: int) -> None:
        """Refuses with a ValueError numbers that the method does not take."""
        if self.sequences:
            wanted, fits = "two sequences of one length", count >= 2 and count % 2 == 0
        elif self.joint:
            wanted, fits = "two or more", count >= 2
        else:
            wanted, fits = "exactly two", count == 2
        if not fits:
            raise ValueError(
                f"method {self.name!r} is given {count} networks; it aligns {wanted}"
            )

    def __call__(
        self,
        context: Context,
        networks: Sequence[Variables],
        key: Key,
        settings: Any = None,
    ) -> Alignment:
        """Aligns k networks and measures the time.

        Raises:
          ValueError: the method does not take so many networks, `key` is no key, what it
            returned is no permutation of each, or its own reasons.
        """
        self.check_count(len(networks))
        seed(key)  # refuses what is none
        count = 2 if self.sequences else len(networks)
        settings = self.settings() if settings is None and self.settings else settings
        began = time.perf_counter()
        with jax.default_matmul_precision("float32"):  # whatever a device's own is
            found = self.find(context, networks, key, settings)
        if not isinstance(found, Alignment) or len(found.permutations) != count:
            each = "sequence" if self.sequences else "network"
            raise ValueError(
                f"method {self.name!r} returned {type(found).__name__}; it must return "
                f"an Alignment with {count} permutations, one for each {each}"
            )
        seconds = time.perf_counter() - began
        bound = bind(context.spec, networks[0])
        permutations = tuple(from_indices(bound, None, p) for p in found.permutations)
        if not self.joint and permutations[0] != bound.identity():
            raise ValueError(
                f"method {self.name!r} moves the first network, which stays in a pair; "
                "register it as Method(..., joint=True)"
            )
        return Alignment(  # what goes into files is checked, and plain numbers
            spec=context.spec,
            permutations=permutations,
            objective=float(found.objective),
            naive=float(found.naive),
            history=tuple(map(float, found.history)),
            converged=bool(found.converged),
            seconds=seconds,
            reached=tuple(map(float, found.reached)),
        )


def _all_defaults(settings: Any) -> bool:
    """Whether it is a class of settings that can be made without any value."""
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        return False
    given = [x for x in dataclasses.fields(settings) if x.init]
    return all(x.default is not x.default_factory for x in given)  # else both MISSING


_METHODS: Registry[Method] = Registry(
    "method", "one of your own is known once its module is imported: --plugin=module"
)
methods = _METHODS.all
method = _METHODS.get


def register(method: Method) -> Method:
    """Enters a method, which configs can name from then on.

    Raises:
      ValueError: it is no `Method`, its name is taken by another file, or its colour and
        marker together by another method.
    """
    if not isinstance(method, Method):
        raise ValueError(
            f"register is given {method!r}; it must be an align.Method(name, find, ...)"
        )
    others = [x for x in methods().values() if x.name != method.name]
    looks = {(x.colour or "", x.marker): x.name for x in others if x.colour}
    if taken := looks.get((method.colour or "", method.marker)):
        raise ValueError(
            f"method {method.name!r} has the colour {method.colour!r} and the marker "
            f"{method.marker!r} of {taken!r}; give another colour= or marker=, or no "
            "colour for a spare one"
        )
    return _METHODS.enter(method, method.find)
