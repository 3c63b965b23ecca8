"""Random programs over random variables, to look for a spec that is wrong.

`program(seed)` draws a chain of operations on a pool of intermediate arrays. Every
operation that can tie, cut, merge, freeze or nest units is among them, with sizes from a
small set, so that axes of equal length meet by chance all the time.
"""

import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

SIZES = (2, 3, 4, 6, 12)


class Program:
    """`apply(variables, x)` runs the drawn operations; the variables are a list."""

    def __init__(self, seed: int, length: int = 10):
        self.rng = np.random.default_rng(seed)
        self.shapes: list[tuple[int, ...]] = []
        self.steps: list[tuple[Callable, tuple[int, ...]]] = []
        self.pool = [(2, 3, 4)]
        while len(self.steps) < length:
            self._draw()

    def variables(self, seed: int) -> list[jax.Array]:
        """A draw of every leaf."""
        rng = np.random.default_rng(seed)
        return [jnp.asarray(rng.normal(size=s) / math.sqrt(s[0])) for s in self.shapes]

    def inputs(self) -> jax.Array:
        """The input of the program."""
        return jnp.asarray(np.random.default_rng(0).normal(size=self.pool[0]))

    def apply(self, variables: list[jax.Array], x: jax.Array) -> jax.Array:
        """Runs the program; the output is all that no later step has used."""
        pool, used = [x], set()
        for step, taken in self.steps:
            pool.append(jnp.tanh(step(variables, *(pool[i] for i in taken))))
            used.update(taken)
        unused = [pool[i] for i in range(len(pool)) if i not in used]
        # Reduced so that not everything is frozen by the output at once.
        return jnp.stack([self._readout(y) for y in unused])

    @staticmethod
    def _readout(y: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(y.reshape(-1)) ** 2 + y.reshape(-1))

    def _draw(self) -> None:
        """Adds one step, if the drawn operation fits the drawn arrays."""
        at = int(self.rng.integers(max(0, len(self.pool) - 4), len(self.pool)))
        names = [n for n in dir(self) if n.startswith("op_")]
        made = getattr(self, str(self.rng.choice(names)))(at, self.pool[at])
        if made is None:
            return
        step, taken = made
        variables = [jax.ShapeDtypeStruct(s, jnp.float32) for s in self.shapes]
        values = [jax.ShapeDtypeStruct(self.pool[i], jnp.float32) for i in taken]
        out = jax.eval_shape(step, variables, *values)
        if 0 < math.prod(out.shape) <= 4000 and len(out.shape) <= 5:
            self.steps.append((step, taken))
            self.pool.append(out.shape)

    def _leaf(self, *shape: int) -> int:
        """A new leaf, or one of that shape again."""
        same = [i for i, s in enumerate(self.shapes) if s == shape]
        if same and self.rng.random() < 0.3:
            return int(self.rng.choice(same))
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def _axis(self, shape: tuple[int, ...]) -> int | None:
        return int(self.rng.integers(len(shape))) if shape else None

    def op_dense(self, at, shape):
        if not shape:
            return None
        leaf = self._leaf(shape[-1], int(self.rng.choice(SIZES)))
        return (lambda v, x: x @ v[leaf]), (at,)

    def op_dense_transposed(self, at, shape):
        if not shape:
            return None
        leaf = self._leaf(int(self.rng.choice(SIZES)), shape[-1])
        return (lambda v, x: x @ v[leaf].T), (at,)

    def op_bias(self, at, shape):
        if not shape:
            return None
        leaf = self._leaf(shape[-1])
        wide = (1,) * (len(shape) - 1) + shape[-1:]
        return (lambda v, x: x * v[leaf].reshape(wide)), (at,)

    def op_heads(self, at, shape):
        """Products with the last axis split, an own matrix for each head."""
        if not shape or shape[-1] % 2:
            return None
        heads, inside = 2, shape[-1] // 2
        leaf = self._leaf(heads, inside, int(self.rng.choice(SIZES)))
        rows = (-1, heads, inside)
        return (lambda v, x: jnp.einsum("nhi,hij->nhj", x.reshape(rows), v[leaf])), (
            at,
        )

    def op_grouped_conv(self, at, shape):
        if len(shape) != 3 or shape[-1] not in (4, 6, 12):
            return None
        groups = int(self.rng.choice([2, shape[-1]]))
        leaf = self._leaf(3, shape[-1] // groups, groups * int(self.rng.choice((1, 2))))
        numbers = ("NWC", "WIO", "NWC")

        def conv(v, x):
            return jax.lax.conv_general_dilated(
                x,
                v[leaf],
                (1,),
                "SAME",
                (1,),
                (1,),
                numbers,
                feature_group_count=groups,
            )

        return conv, (at,)

    def op_gram(self, at, shape):
        if len(shape) != 2:
            return None
        return (lambda v, x: x.T @ x), (at,)

    def op_merge(self, at, shape):
        if len(shape) < 2:
            return None
        first = int(self.rng.integers(len(shape) - 1))
        new = (*shape[:first], shape[first] * shape[first + 1], *shape[first + 2 :])
        return (lambda v, x: x.reshape(new)), (at,)

    def op_split(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        parts = [n for n in (2, 3, 4) if shape[axis] % n == 0]
        if not parts:
            return None
        n = int(self.rng.choice(parts))
        new = (*shape[:axis], n, shape[axis] // n, *shape[axis + 1 :])
        return (lambda v, x: x.reshape(new)), (at,)

    def op_regroup(self, at, shape):
        """Any other shape of as many elements: mixes units in general."""
        total = math.prod(shape)
        fits = [s for s in itertools.product(SIZES, repeat=2) if math.prod(s) == total]
        if not fits:
            return None
        new = fits[int(self.rng.integers(len(fits)))]
        return (lambda v, x: x.reshape(new)), (at,)

    def op_transpose(self, at, shape):
        order = tuple(self.rng.permutation(len(shape)).tolist())
        return (lambda v, x: x.transpose(order)), (at,)

    def op_sum(self, at, shape):
        axis = self._axis(shape)
        return None if axis is None else ((lambda v, x: x.sum(axis)), (at,))

    def op_norm(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        return (lambda v, x: x - x.mean(axis, keepdims=True)), (at,)

    def op_softmax(self, at, shape):
        axis = self._axis(shape)
        return None if axis is None else ((lambda v, x: jax.nn.softmax(x, axis)), (at,))

    def op_add(self, at, shape):
        fits = [i for i, s in enumerate(self.pool) if s == shape]
        other = int(self.rng.choice(fits))
        return (lambda v, x, y: x + 2 * y), (at, other)

    def op_outer(self, at, shape):
        vectors = [i for i, s in enumerate(self.pool) if len(s) == 1]
        if not vectors or len(shape) > 2:
            return None
        other = int(self.rng.choice(vectors))
        tail = (1,) * len(shape)
        return (lambda v, x, y: x[None] * y.reshape((-1, *tail))), (at, other)

    def op_concat(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        fits = [
            i
            for i, s in enumerate(self.pool)
            if len(s) == len(shape)
            and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
        ]
        other = int(self.rng.choice(fits))
        return (lambda v, x, y: jnp.concatenate([x, y], axis)), (at, other)

    def op_slice(self, at, shape):
        axis = self._axis(shape)
        if axis is None or shape[axis] < 2:
            return None
        start, stop = sorted(
            self.rng.choice(shape[axis] + 1, 2, replace=False).tolist()
        )
        return (lambda v, x: jax.lax.slice_in_dim(x, start, stop, axis=axis)), (at,)

    def op_pad(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        widths = [(0, 0)] * len(shape)
        widths[axis] = tuple(self.rng.integers(0, 3, 2).tolist())
        return (lambda v, x: jnp.pad(x, widths)), (at,)

    def op_cumsum(self, at, shape):
        axis = self._axis(shape)
        return None if axis is None else ((lambda v, x: jnp.cumsum(x, axis)), (at,))

    def op_flip(self, at, shape):
        axis = self._axis(shape)
        return None if axis is None else ((lambda v, x: jnp.flip(x, axis)), (at,))

    def op_sort(self, at, shape):
        axis = self._axis(shape)
        return None if axis is None else ((lambda v, x: jnp.sort(x, axis)), (at,))

    def op_positions(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        wide = [1] * len(shape)
        wide[axis] = shape[axis]
        return (lambda v, x: x * jnp.arange(1.0, shape[axis] + 1).reshape(wide)), (at,)

    def op_stack(self, at, shape):
        """Layers stacked along the leading axis, under a scan."""
        if not shape:
            return None
        leaf = self._leaf(3, shape[-1], shape[-1])
        layer = lambda x, w: (jnp.tanh(x @ w), jnp.sum(x))  # noqa: E731
        return (lambda v, x: jax.lax.scan(layer, x, v[leaf])[0]), (at,)

    def op_slices(self, at, shape):
        """Slices of one leaf used one by one."""
        if not shape:
            return None
        leaf = self._leaf(2, shape[-1], shape[-1])
        return (lambda v, x: jnp.tanh(x @ v[leaf][0]) @ v[leaf][1]), (at,)

    def op_recurrent(self, at, shape):
        """A weight used in every round of a scan over the first axis."""
        if len(shape) != 3:
            return None
        units = int(self.rng.choice(SIZES))
        a, b = self._leaf(shape[-1], units), self._leaf(units, units)

        def run(v, x):
            def cell(h, now):
                h = jnp.tanh(now @ v[a] + h @ v[b])
                return h, h

            return jax.lax.scan(cell, jnp.zeros((shape[1], units), x.dtype), x)[1]

        return run, (at,)

    def op_gather(self, at, shape):
        axis = self._axis(shape)
        if axis is None:
            return None
        index = self.rng.integers(0, shape[axis], 4)
        return (lambda v, x: jnp.take(x, index, axis)), (at,)

    def op_branch(self, at, shape):
        other = int(self.rng.choice([i for i, s in enumerate(self.pool) if s == shape]))

        def run(v, x, y):
            yes, no = (lambda a, b: a * 2), (lambda a, b: a - b)
            return jax.lax.cond(jnp.sum(x) > 0, yes, no, x, y)

        return run, (at, other)
