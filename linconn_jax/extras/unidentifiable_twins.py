"""Units with identical weights, and which units cannot be told apart for it."""

from collections.abc import Mapping, Sequence

import numpy as np

from linconn_jax.permutation._verify import Arrays, Occurrence, moved
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Bool, Int


def first_twins(
    own: Sequence[Occurrence], found: BoundSpec, name: str, values: Arrays
) -> Int[np.ndarray, "*parents units"]:
    """For each unit the first that can be exchanged with it without any change.

    Args:
      own: occurrences of the name.
      found: the bound spec.
      name: axis name of the units.
      values: of the network, by number of the leaf.
    """
    shape, parents = found.shape(name), found.parents[name]
    # Where units meet themselves (recurrent kernels) both must be exchanged at once.
    both = [x for x in own if any(name in beside for _, beside in x.entries)]
    rows = [
        np.asarray(values[x.leaf]).reshape(-1)[entries.under(parents).swapaxes(-1, -2)]
        + 0
        for x in own
        if x not in both
        for entries in x.entries
    ]
    twin = np.broadcast_to(np.arange(shape[-1]), shape).copy()
    for above in np.ndindex(shape[:-1]):
        seen: dict[bytes, list[int]] = {}
        for unit in range(shape[-1]):
            weights = b"".join(row[(*above, unit)].tobytes() for row in rows)
            alike = seen.setdefault(weights, [])
            for other in alike:
                index = np.broadcast_to(np.arange(shape[-1]), shape).copy()
                index[(*above, [unit, other])] = other, unit
                exchanged = moved(values, (x.move(index, parents) for x in both))
                if all(np.array_equal(x, values[i]) for i, x in exchanged.items()):
                    twin[(*above, unit)] = other
                    break
            else:
                alike.append(unit)
    return twin


def classes_of(
    found: BoundSpec,
    classes: Mapping[str, Int[np.ndarray, "..."]],
    name: str,
    twin: Int[np.ndarray, "*parents units"],
    unknown: Bool[np.ndarray, "*parents units"],
) -> Int[np.ndarray, "*parents units"]:
    """One number for units that are alike under parents that are; -1 for unknown ones.

    Args:
      found: the bound spec.
      classes: of the parents of the name that are permuted.
      name: axis name of the units.
      twin: as `first_twins` returns.
      unknown: units about which nothing can be known.
    """
    above, shape = found.parents[name], found.shape(name)
    number, lost, step = twin.astype(np.int64), unknown, shape[-1]
    for k, parent in enumerate(above):
        if parent in classes:
            order = [above.index(x) for x in (*found.parents[parent], parent)]
            class_ = classes[parent]
        else:  # fixed
            order, class_ = [k], np.arange(shape[k])
        class_ = np.einsum(class_, order, sorted(order))
        others = [i for i in range(len(shape)) if i not in order]
        class_ = np.expand_dims(class_, others)
        number, lost = number + step * class_, lost | (class_ < 0)
        step *= int(class_.max(initial=0)) + 1
    return np.where(lost, -1, number)
