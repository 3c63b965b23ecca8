"""Units with identical weights, and which units cannot be told apart for it."""

from collections.abc import Mapping, Sequence

import numpy as np

from linconn_jax.permutation._verify.probe import Leaves
from linconn_jax.permutation._verify.sites import Site, moved
from linconn_jax.permutation.spec import BoundSpec
from linconn_jax.typing import Bool, Int


def twins(
    own: Sequence[Site], found: BoundSpec, name: str, values: Leaves
) -> Int[np.ndarray, "..."]:
    """For each unit the first that can be exchanged with it without any change."""
    shape, under = found.shape(name), found.parents[name]
    # Where units meet themselves (recurrent kernels) both must be exchanged at once.
    both = [site for site in own if site.meets_itself]
    rows = [
        (np.asarray(values[site.leaf]).reshape(-1)[at] + 0)  # no -0.0
        for site in own
        if site not in both
        for at in site.places(under)
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
                exchanged = moved(values, (site.move(index, under) for site in both))
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
    twin: Int[np.ndarray, "..."],
    unknown: Bool[np.ndarray, "..."],
) -> Int[np.ndarray, "..."]:
    """One number for units that are alike under parents that are; -1 for unknown ones."""
    above, shape = found.parents[name], found.shape(name)
    number, lost, step = twin.astype(np.int64), unknown, shape[-1]
    for k, parent in enumerate(above):
        if parent in classes:
            order = [above.index(x) for x in (*found.parents[parent], parent)]
            class_ = classes[parent]
        else:  # fixed
            order, class_ = [k], np.arange(shape[k])
        class_ = np.einsum(class_, order, sorted(order))
        class_ = np.expand_dims(
            class_, [i for i in range(len(shape)) if i not in order]
        )
        number, lost = number + step * class_, lost | (class_ < 0)
        step *= int(class_.max(initial=0)) + 1
    return np.where(lost, -1, number)
