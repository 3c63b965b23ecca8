"""Random functions that mix the places of one table and bring them back beside it.

Each operation keeps the shape, so that axes which were mixed come to lie on those which
were not: units must then not be given an order of their own at each place.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SHAPES = ((2, 3, 4), (3, 3, 2), (2, 2, 3), (3, 2))


class Mixed:
    """`apply(leaves, x)`: a sum of the first leaf times what became of it."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.shape = SHAPES[self.rng.integers(len(SHAPES))]
        self.shapes = [self.shape]
        kinds = sorted(name for name in dir(self) if name.startswith("op_"))
        chosen = self.rng.choice(kinds, self.rng.integers(1, 4))
        self.steps = [getattr(self, str(name))(self._axis()) for name in chosen]
        kept = self.rng.random(len(self.shape)) < 0.3
        self.summed = tuple(np.flatnonzero(~kept).tolist())

    def variables(self, seed: int) -> list[jax.Array]:
        """A draw of every leaf."""
        rng = np.random.default_rng(seed)
        return [jnp.asarray(rng.normal(size=shape)) for shape in self.shapes]

    def inputs(self) -> jax.Array:
        """A number."""
        return jnp.asarray(0.7)

    def apply(self, leaves: list[jax.Array], x: jax.Array) -> jax.Array:
        """The program."""
        table = leaves[0] * x
        for step in self.steps:
            table = step(leaves, table)
        return jnp.tanh(leaves[0] * table + table).sum(self.summed)

    def _axis(self) -> int:
        return int(self.rng.integers(len(self.shape)))

    def _leaf(self, *shape: int) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def _order(self, axis: int) -> np.ndarray:
        return self.rng.permutation(self.shape[axis])

    def op_deal_out(self, axis):
        """Reads the table row by row in another shape."""
        i = min(axis, len(self.shape) - 2)
        before, (a, b), after = (
            self.shape[:i],
            self.shape[i : i + 2],
            self.shape[i + 2 :],
        )
        other = (*before, b, a, *after)
        return lambda v, x: jnp.swapaxes(x.reshape(other), i, i + 1)

    def op_roll(self, axis):
        return lambda v, x: jnp.roll(x, 1, axis)

    def op_sort(self, axis):
        return lambda v, x: jnp.sort(x, axis)

    def op_take(self, axis):
        order = self._order(axis)
        return lambda v, x: jnp.take(x, order, axis)

    def op_scatter(self, axis):
        at = (*(slice(None),) * axis, self._order(axis))
        return lambda v, x: x.at[at].add(x)

    def op_window(self, axis):
        sizes = [2 if i == axis else 1 for i in range(len(self.shape))]
        ones = [1] * len(sizes)
        return lambda v, x: lax.reduce_window(x, 0.0, lax.add, sizes, ones, "SAME")

    def op_update(self, axis):
        part = self.shape[axis] - 1

        def update(v, x):
            first = lax.slice_in_dim(x, 0, part, axis=axis)
            return lax.dynamic_update_slice_in_dim(x, first, 1, axis)

        return update

    def op_pad(self, axis):
        widths = [
            (1, -1, 0) if i == axis else (0, 0, 0) for i in range(len(self.shape))
        ]
        return lambda v, x: lax.pad(x, 0.0, widths)

    def op_grouped(self, axis):
        """A convolution over one place in groups."""
        size = self.shape[-1]
        fits = [n for n in range(1, size + 1) if size % n == 0]
        groups = int(self.rng.choice(fits))
        kernel = self._leaf(1, size // groups, size)

        def convolve(v, x):
            made = lax.conv_general_dilated(
                *(x.reshape(-1, 1, size), v[kernel], (1,), "SAME"),
                dimension_numbers=("NWC", "WIO", "NWC"),
                feature_group_count=groups,
            )
            return made.reshape(x.shape)

        return convolve

    def op_gram(self, axis):
        others = [i for i in range(len(self.shape)) if i != axis]

        def gram(v, x):
            square = jnp.tensordot(x, x, (others, others))
            return jnp.moveaxis(jnp.tensordot(square, x, (1, axis)), 0, axis)

        return gram

    def op_rows(self, axis):
        """All of it against each slice of a leaf."""
        leaf = self._leaf(*self.shape)

        def rows(v, x):
            start = jnp.zeros(self.shape[:-1], x.dtype)
            add = lambda sums, row: (sums + jnp.tanh((x * row[None]).sum(-1)), None)  # noqa: E731
            return v[leaf] * x * lax.scan(add, start, v[leaf])[0][..., None]

        return rows

    def op_shift(self, axis):
        """A loop that puts out what came in before."""

        def shift(v, x):
            start = jnp.zeros(self.shape[1:], x.dtype)
            return lax.scan(lambda before, now: (now, before + now), start, x)[1]

        return shift

    def op_scale(self, axis):
        leaf = self._leaf(*(n if i == axis else 1 for i, n in enumerate(self.shape)))
        return lambda v, x: x * v[leaf]
