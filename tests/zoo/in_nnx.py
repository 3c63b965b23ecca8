"""Flax NNX: the state of a module, split from its graph."""

import functools

from flax import nnx

from zoo.case import Case, from_structs, normal


class Residual(nnx.Module):
    """A small ResNet with batch norm, whose statistics are part of the state."""

    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.conv_1 = nnx.Conv(4, 6, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm_1 = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
        self.conv_2 = nnx.Conv(6, 5, (3, 3), use_bias=False, rngs=rngs)
        self.norm_2 = nnx.BatchNorm(5, use_running_average=True, rngs=rngs)
        self.shortcut = nnx.Conv(4, 5, (1, 1), strides=2, rngs=rngs)
        self.head = nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.stem(x))
        y = nnx.relu(self.norm_1(self.conv_1(x)))
        x = nnx.relu(self.norm_2(self.conv_2(y)) + self.shortcut(x))
        return self.head(x.mean(axis=(1, 2)))


class Encoder(nnx.Module):
    """A transformer encoder layer over embedded tokens, averaged."""

    def __init__(self, rngs):
        self.first = nnx.Linear(3, 12, rngs=rngs)
        self.norm_1 = nnx.LayerNorm(12, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(3, 12, decode=False, rngs=rngs)
        self.norm_2 = nnx.LayerNorm(12, rngs=rngs)
        self.up = nnx.Linear(12, 7, rngs=rngs)
        self.down = nnx.Linear(7, 12, rngs=rngs)
        self.head = nnx.Linear(12, 2, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        x = x + self.attention(self.norm_1(x))
        x = x + self.down(nnx.gelu(self.up(self.norm_2(x))))
        return self.head(x.mean(axis=1))


def from_nnx(name, module, inputs, groups, note, silent=()) -> Case:
    """The variables are the module's state, as `nnx.split` gives it."""

    @functools.cache
    def split():
        return nnx.split(nnx.eval_shape(lambda: module(nnx.Rngs(0))))

    def apply(state, x):
        return nnx.merge(split()[0], state)(x)

    return from_structs(name, apply, lambda: split()[1], inputs, groups, note, silent)


CASES = [
    from_nnx(
        "nnx-resnet",
        Residual,
        normal(8, 6, 6, 3),
        [(4, 1), (6, 1), (5, 1)],
        "the stem, the inside of the block, the stream after its shortcut convolution",
    ),
    from_nnx(
        "nnx-encoder",
        Encoder,
        normal(4, 5, 3),
        [(12, 1), (3, 1), (4, 3), (4, 3), (7, 1)],
        "as a layer of ViT",
        silent=("key/bias/value",),
    ),
]
