"""Many alignments at once, each as if it were made by itself."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linconn_jax import checks
from linconn_jax.align._ascent import side_by_side
from linconn_jax.align._joint import chosen, of_many, told
from linconn_jax.align._keys import seed
from linconn_jax.align._networks import listed
from linconn_jax.align._shared import Group, Shared, sets
from linconn_jax.align.alignment import Alignment
from linconn_jax.align.method import Context, Method
from linconn_jax.align.method import method as registered
from linconn_jax.permutation import BoundSpec, Spec, bind
from linconn_jax.typing import Array, Key, PyTree, Variables


def each(
    spec: Spec | BoundSpec,
    networks: Sequence[Variables] | PyTree,
    groups: Sequence[Sequence[int]] | None = None,
    *,
    key: Key,
    method: str = "weight_matching",
    apply: Callable[..., Any] | None = None,
    activations: Callable[..., dict[str, Array]] | None = None,
    inputs: Array | None = None,
    labels: Array | None = None,
    settings: Mapping[str, Any] | Any = None,
    batch_size: int = 512,
) -> tuple[Alignment, ...]:
    """Alignments of many pairs (or larger groups) of networks, independent of each other.

    The i-th is, bit for bit, that of the networks of `groups[i]` alone with the key
    `jax.random.fold_in(key, i)`: of two networks `align.weight_matching(spec, a, b,
    key=...)`, by any method `align.joint(spec, [a, b, ...], key=..., method=method,
    ...)`. What they have in common is done once: the spec is bound once, each network is
    fetched from its device once, and methods that match activations read those of each
    network once (in sets of up to 12 networks that hang together by their groups; it is
    then that XLA might sum in another order, and what follows differs by rounding). What
    weight matching's objectives "covariance" and "fisher" make of a network is made for
    each alignment.

    Alignments of wide networks are made in threads, and so under JAX's own default
    settings: those of a context manager (`with jax.enable_x64():`,
    `jax.default_device(...)`) hold in the thread that enters it alone; set them for all
    (`jax.config.update`).

    All pairs of six networks at each of eleven checkpoints, `runs[t][i]`:

        networks = [network for step in runs for network in step]
        pairs = list(itertools.combinations(range(6), 2))
        groups = [(6 * t + i, 6 * t + j) for t in range(11) for i, j in pairs]
        found = align.each(spec, networks, groups, key=key)

    Args:
      spec: of the networks, a tree of `Axes` or bound.
      networks: all of one width, in a list or stacked, as `align.joint` takes them.
      groups: numbers of the networks that are aligned to each other, a tuple for each
        alignment; by default all pairs. Of two the first stays. A method for two
        sequences takes the numbers of the first and then those of the second.
      key: from which that of each alignment is made.
      method: name of a registered method.
      apply: as in `align.joint`, and so are the following.
      activations: see there.
      inputs: see there.
      labels: see there.
      settings: see there; the same for all.
      batch_size: see there.

    Returns:
      An alignment for each group. Its `seconds` are those since it was begun, others
      being made at the same time.

    Raises:
      ValueError: `groups` are no numbers of networks, or there are more or fewer of them
        than the method takes; and as `align.joint`, saying of which group.
    """
    one = registered(method)
    seed(key)  # refuses what is no key
    every, _ = listed(spec, networks)
    groups = _checked(one, groups, len(every))
    if not groups:
        return ()
    used = sorted(set(itertools.chain.from_iterable(groups)))
    host = {i: _on_host(every[i]) for i in used}
    checks.check("batch_size", batch_size, checks.whole(1))
    looked_at = apply, told(activations), inputs, labels, batch_size
    context = _Sharing(bind(spec, host[used[0]]), *looked_at, host, groups)
    options = chosen(one, settings)

    def align(i: int) -> Alignment:
        group = groups[i]
        run = of_many(one, len(group))
        own = jax.random.fold_in(key, i)
        try:
            found = run(context, [host[n] for n in group], own, options)
        except ValueError as error:
            raise ValueError(f"group {i}, networks {group}: {error}") from error
        return dataclasses.replace(found, spec=spec)

    # Those that share activations come together, and what the first compiles all have.
    shared = sets(groups)
    first, *rest = sorted(range(len(groups)), key=lambda i: shared[i])
    found = {first: align(first)}
    bound = context.spec
    found |= zip(rest, side_by_side(bound, align, rest), strict=True)
    return tuple(found[i] for i in range(len(groups)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Sharing(Context):
    """A context in which the activations of all networks are read once.

    Attributes:
      networks: by number.
      groups: that are aligned.
      readers: of activations, by where they read.
      parts: the first inputs, by how many they are.
      lock: held while one of these is made.
    """

    networks: dict[int, Variables] = dataclasses.field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    readers: dict[str, Shared] = dataclasses.field(default_factory=dict)
    parts: dict[int, Array] = dataclasses.field(default_factory=dict)
    lock: Any = dataclasses.field(default_factory=threading.Lock)

    def reader(self, variables: Variables, at: str = "relu") -> Shared:
        """As the context's own, one for each place."""
        with self.lock:
            if at not in self.readers:
                read = super().reader(variables, at)
                known = self.networks, self.groups, self.parts
                self.readers[at] = Shared(read, *known)
            return self.readers[at]

    def examples(self, count: int) -> Array:
        """The first so many inputs, one array for all."""
        with self.lock:
            found = super().examples(count)
            return self.parts.setdefault(len(found), found)


def _checked(
    one: Method, groups: Sequence[Sequence[int]] | None, count: int
) -> tuple[Group, ...]:
    if groups is None:
        groups = list(itertools.combinations(range(count), 2))
    kind = checks.several(checks.whole(0, count - 1), least=1)
    found = []
    for i, group in enumerate(groups):
        group = checks.check(f"groups[{i}]", group, kind)
        of_many(one, len(group)).check_count(len(group))
        found.append(group)
    return tuple(found)


def _on_host(network: Variables) -> Variables:
    """Its arrays on the host, but for keys."""
    return jax.tree.map(_fetched, network)


def _fetched(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and not jax.dtypes.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    ):
        return np.asarray(leaf)
    return leaf
