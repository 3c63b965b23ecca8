"""Transformers in linen: MLP-Mixer, ViT, GPT with tied embeddings, layers scanned."""

from flax import linen as nn
from jax import numpy as jnp

from zoo.case import from_linen, normal, tokens

HEADS, SIZE = 3, 4  # of the small transformers


class MLP(nn.Module):
    """Two dense layers, back to the width of the input."""

    units: int

    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(self.units, name="up")(x))
        return nn.Dense(x.shape[-1], name="down")(y)


class Mixer(nn.Module):
    """MLP-Mixer: an MLP over positions and one over channels, by turns."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(6, (2, 2), (2, 2), "VALID", name="patches")(x)
        x = x.reshape(len(x), -1, 6)
        for i in range(2):
            y = nn.LayerNorm(name=f"norm_{i}_1")(x).swapaxes(1, 2)
            x = x + MLP(5, name=f"positions_{i}")(y).swapaxes(1, 2)
            y = nn.LayerNorm(name=f"norm_{i}_2")(x)
            x = x + MLP(7, name=f"channels_{i}")(y)
        x = nn.LayerNorm(name="last_norm")(x)
        return nn.Dense(5, name="head")(x.mean(axis=1))


class Layer(nn.Module):
    """Attention and MLP, each after a norm and added to the stream."""

    heads: int
    units: int

    @nn.compact
    def __call__(self, x, mask=None):
        y = nn.LayerNorm(name="norm_1")(x)
        attention = nn.MultiHeadDotProductAttention(self.heads, name="attention")
        x = x + attention(y, mask=mask)
        return x + MLP(self.units, name="mlp")(nn.LayerNorm(name="norm_2")(x))


class ViT(nn.Module):
    """Vision transformer with class token and learned positions."""

    depth: int = 2
    width: int = HEADS * SIZE

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(self.width, (2, 2), (2, 2), "VALID", name="patches")(x)
        x = x.reshape(len(x), -1, self.width)
        first = self.param("class", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.tile(first, (len(x), 1, 1)), x], axis=1)
        shape = (1, *x.shape[1:])
        x = x + self.param("positions", nn.initializers.zeros, shape)
        for i in range(self.depth):
            x = Layer(HEADS, 5 + i, name=f"layer_{i}")(x)
        return nn.Dense(5, name="head")(nn.LayerNorm(name="last_norm")(x[:, 0]))


class GPT(nn.Module):
    """Decoder whose output layer is its embedding, with a causal mask.

    With `scan` the layers' variables are stacked along a leading axis.
    """

    vocabulary: int
    context: int
    width: int
    heads: int
    units: int
    depth: int
    scan: bool = False

    @nn.compact
    def __call__(self, ids):
        embed = nn.Embed(self.vocabulary, self.width, name="embed")
        shape = (self.context, self.width)
        positions = self.param("positions", nn.initializers.zeros, shape)
        x = embed(ids) + positions[None, : ids.shape[1]]
        mask = nn.make_causal_mask(ids)
        if self.scan:
            layer = Layer(self.heads, self.units, name="layers")
            x, _ = nn.scan(
                lambda layer, x, _: (layer(x, mask), None),
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=self.depth,
            )(layer, x, None)
        else:
            for i in range(self.depth):
                x = Layer(self.heads, self.units, name=f"layer_{i}")(x, mask)
        return embed.attend(nn.LayerNorm(name="last_norm")(x))


def layer_groups(heads: int, size: int, units: int) -> list[tuple[int, int]]:
    """Heads; inside each, query-key and value-output dimensions; the MLP's units."""
    return [(heads, 1), (size, heads), (size, heads), (units, 1)]


SMALL_GPT = {
    "vocabulary": 11,
    "context": 5,
    "width": HEADS * SIZE,
    "heads": HEADS,
    "units": 7,
    "depth": 2,
}
GPT_GROUPS = [(12, 1), *layer_groups(HEADS, SIZE, 7) * 2]

CASES = [
    from_linen(
        "mlp-mixer",
        Mixer(),
        normal(8, 6, 6, 3),
        [(6, 1), (5, 1), (7, 1), (5, 1), (7, 1)],
        "the stream's channels; in each of 2 layers the hidden units of both MLPs; "
        "positions are tied to the image",
    ),
    from_linen(
        "vit",
        ViT(),
        normal(6, 4, 4, 3),
        [(12, 1), *layer_groups(HEADS, SIZE, 5), *layer_groups(HEADS, SIZE, 6)],
        "one stream; in each of 2 layers the heads, the query-key dimensions (a score "
        "sums over them) and the value-output dimensions of each head, the MLP's units",
        silent=("key/bias",),
    ),
    from_linen(
        "gpt-linen",
        GPT(**SMALL_GPT),
        tokens(3, 5, 11),
        GPT_GROUPS,
        "as ViT; the tied embedding is the stream's, its vocabulary that of the inputs "
        "and outputs",
        silent=("key/bias",),
    ),
    from_linen(
        "gpt-scanned",
        GPT(**SMALL_GPT, scan=True),
        tokens(3, 5, 11),
        GPT_GROUPS,
        "the same network with its layers stacked: the stream is carried, each layer's "
        "heads, dimensions and MLP units are its own",
        silent=("key/bias",),
    ),
]
