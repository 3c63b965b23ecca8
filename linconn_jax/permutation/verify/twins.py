"""Units with identical weights."""

import numpy as np

from linconn_jax.permutation.spec import Layout
from linconn_jax.permutation.verify.probe import Leaves
from linconn_jax.permutation.verify.sites import Move, Sites
from linconn_jax.typing import Int


def twins(
    sites: Sites, found: Layout, name: str, values: Leaves
) -> Int[np.ndarray, "..."]:
    """For each unit the first that can be exchanged with it without any change."""
    shape, under = found.shape(name), found.parents[name]
    own = sites.named(name)
    axes: dict[tuple[int, int | None], set[int]] = {}
    for site in own:
        axes.setdefault((site.leaf, site.layer), set()).add(site.axis)
    # Where units meet themselves (recurrent kernels) both axes must be exchanged at once.
    both = [site for site in own if len(axes[site.leaf, site.layer]) > 1]
    rows = [
        (np.asarray(values[site.leaf]).reshape(-1)[at] + 0).reshape(-1, shape[-1], rest)
        for site in own
        if site not in both
        for at in sites.positions(site, under)
        for rest in [at.shape[-1]]
    ]
    twin = np.broadcast_to(np.arange(shape[-1]), shape).reshape(-1, shape[-1]).copy()
    for parent, first in enumerate(twin):
        seen: dict[bytes, list[int]] = {}
        for unit in range(shape[-1]):
            alike = seen.setdefault(
                b"".join(r[parent, unit].tobytes() for r in rows), []
            )
            for other in alike:
                index = _swap(shape, parent, unit, other)
                moves = [Move(site, index, under) for site in both]
                moved = sites.moved(values, moves)
                if all(np.array_equal(x, values[i]) for i, x in moved.items()):
                    first[unit] = other
                    break
            else:
                alike.append(unit)
    return twin.reshape(shape)


def _swap(
    shape: tuple[int, ...], parent: int, i: int, j: int
) -> Int[np.ndarray, "..."]:
    index = np.broadcast_to(np.arange(shape[-1]), shape).reshape(-1, shape[-1]).copy()
    index[parent, [i, j]] = [j, i]
    return index.reshape(shape)
