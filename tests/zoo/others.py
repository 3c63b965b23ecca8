"""Networks of other kinds: graphs, state spaces, latents, hypernetworks, MAML."""

import jax
import numpy as np
from jax import numpy as jnp

from zoo.case import Shape, from_shapes, normal
from zoo.plain import mlp, mlp_shapes

SENDERS, RECEIVERS = np.array([0, 1, 2, 3, 0, 2]), np.array([1, 2, 3, 4, 4, 0])


def graph(v, nodes):
    """Messages along edges of a known graph, summed at their receivers."""
    h = jnp.tanh(nodes @ v["first"])
    messages = jnp.tanh(h[:, SENDERS] @ v["send"] + h[:, RECEIVERS] @ v["receive"])
    arrived = jnp.zeros((*h.shape[:2], messages.shape[-1]), h.dtype)
    arrived = arrived.at[:, RECEIVERS].add(messages)
    return (h + arrived @ v["back"]) @ v["head"]


def state_space(v, x):
    """Diagonal state spaces: each channel has states of its own (S4D)."""
    u = x @ v["first"]
    inputs = u[..., None] * v["b"][None, None]
    decay = jnp.broadcast_to(jax.nn.sigmoid(v["a"])[None, None], inputs.shape)
    y = jnp.einsum("ntcs,cs->ntc", scanned(decay, inputs), v["c"])
    return jnp.tanh(y) @ v["head"]


def selective_state_space(v, x):
    """Channels share what their states read and write, step by step (Mamba)."""
    u = x @ v["first"]
    step = jax.nn.softplus(u @ v["step"])[..., None]
    inputs = step * u[..., None] * (u @ v["b"])[:, :, None]
    states = scanned(jnp.exp(-step * jnp.exp(v["a"])[None, None]), inputs)
    y = (states * (u @ v["c"])[:, :, None]).sum(axis=-1)
    return jnp.tanh(y) @ v["head"]


def scanned(decay, inputs):
    """s[t] = decay[t] * s[t - 1] + inputs[t], by an associative scan over time."""

    def then(first, second):
        return first[0] * second[0], first[1] * second[0] + second[1]

    return jax.lax.associative_scan(then, (decay, inputs), axis=1)[1]


def perceiver(v, x):
    """Learned latents that look at the inputs; their weighted mean is read."""
    scores = jnp.einsum("ld,de,nte->nlt", v["latents"], v["q"], x @ v["k"])
    seen = jax.nn.softmax(scores, axis=-1) @ (x @ v["v"])
    latents = v["latents"][None] + seen @ v["out"]
    shares = jax.nn.softmax(v["shares"])
    return jnp.einsum("nld,l->nd", jnp.tanh(latents), shares) @ v["head"]


def talking_heads(v, x):
    """Scores of one set of heads are mixed before another set uses them."""
    q, k, values = (jnp.einsum("nti,ihe->nthe", x, v[name]) for name in "qkv")
    scores = jnp.einsum("nthe,nshe,hg->ngts", q, k, v["mix"])
    weights = jax.nn.softmax(scores, axis=-1)
    return jnp.einsum("ngts,nsge,geo->nto", weights, values, v["out"])


def maxout(v, x):
    """Each unit is the largest of two pieces."""
    pieces = x @ v["kernel"] + v["bias"][None]
    return pieces.reshape(len(x), -1, 2).max(axis=-1) @ v["head"]


def hypernetwork(v, x):
    """A small network of a code writes the kernels of the one that is run."""
    code = jnp.tanh(v["code"][None] @ v["hyper"])
    up = (code @ v["up"]).reshape(3, -1)
    down = (code @ v["down"]).reshape(-1, 2)
    return jnp.tanh(x @ up) @ down


def low_rank(v, x):
    """A kernel with an update of low rank (LoRA)."""
    kernel = v["kernel"] + 2 * v["a"] @ v["b"]
    return jnp.tanh(x @ kernel) @ v["head"]


def inner_step(layers, x):
    """An MLP after a step of gradient descent on half of the examples (MAML)."""
    seen, new = jnp.split(x, 2)

    def loss(layers):
        return ((mlp(layers, seen) - seen[:, :2]) ** 2).mean()

    trained = jax.tree.map(lambda a, g: a - 0.3 * g, layers, jax.grad(loss)(layers))
    return mlp(trained, new)


CASES = [
    from_shapes(
        "graph-network",
        graph,
        {
            **{"first": Shape(3, 6), "send": Shape(6, 4), "receive": Shape(6, 4)},
            **{"back": Shape(4, 6), "head": Shape(6, 2)},
        },
        normal(4, 5, 3),
        [(6, 1), (4, 1)],
        "features of the nodes and of the messages; nodes are those of the known graph",
    ),
    from_shapes(
        "state-space",
        state_space,
        {
            **{"first": Shape(3, 5), "a": Shape(5, 4), "b": Shape(5, 4)},
            **{"c": Shape(5, 4), "head": Shape(5, 2)},
        },
        normal(4, 6, 3),
        [(5, 1), (4, 5)],
        "the channels; the states of each channel, which only meet in its own sum",
    ),
    from_shapes(
        "state-space-selective",
        selective_state_space,
        {
            **{"first": Shape(3, 5), "step": Shape(5, 5), "a": Shape(5, 4)},
            **{"b": Shape(5, 4), "c": Shape(5, 4), "head": Shape(5, 2)},
        },
        normal(4, 6, 3),
        [(5, 1), (4, 1)],
        "the channels (the step's kernel maps them to themselves); the states, which all "
        "channels share through what is read and written",
    ),
    from_shapes(
        "perceiver",
        perceiver,
        {
            **{"latents": Shape(4, 7), "q": Shape(7, 5), "k": Shape(3, 5)},
            **{"v": Shape(3, 6), "out": Shape(6, 7), "head": Shape(7, 2)},
            "shares": Shape(4),
        },
        normal(4, 5, 3),
        [(4, 1), (7, 1), (5, 1), (6, 1)],
        "the latents, with their shares in the mean; their channels; query-key "
        "and value-output dimensions",
    ),
    from_shapes(
        "talking-heads",
        talking_heads,
        {
            **{"q": Shape(3, 3, 4), "k": Shape(3, 3, 4), "mix": Shape(3, 2)},
            **{"v": Shape(3, 2, 5), "out": Shape(2, 5, 2)},
        },
        normal(4, 5, 3),
        [(3, 1), (4, 3), (2, 1), (5, 2)],
        "heads of the scores with their query-key dimensions, heads of the values with "
        "theirs",
    ),
    from_shapes(
        "maxout",
        maxout,
        {"kernel": Shape(3, 12), "bias": Shape(12), "head": Shape(6, 2)},
        normal(16, 3),
        [(6, 1), (2, 6)],
        "the units, and the two pieces of each",
    ),
    from_shapes(
        "hypernetwork",
        hypernetwork,
        {
            **{"code": Shape(3), "hyper": Shape(3, 5)},
            **{"up": Shape(5, 18), "down": Shape(5, 12)},
        },
        normal(16, 3),
        [(3, 1), (5, 1), (6, 1)],
        "the code's entries, since the code is a variable; the hidden units of the one "
        "network and of the other, whose kernels are flattened on an axis",
    ),
    from_shapes(
        "low-rank",
        low_rank,
        {
            **{"kernel": Shape(3, 6), "a": Shape(3, 4), "b": Shape(4, 6)},
            "head": Shape(6, 2),
        },
        normal(16, 3),
        [(6, 1), (4, 1)],
        "the hidden units and the ranks of the update",
    ),
    from_shapes(
        "inner-step",
        inner_step,
        mlp_shapes(3, 6, 5, 2),
        normal(16, 3),
        [(6, 1), (5, 1)],
        "those of the MLP: a gradient moves with its units",
    ),
]
