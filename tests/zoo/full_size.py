"""Networks of their published sizes, as shapes only: nothing is run or allocated."""

import jax
from jax import numpy as jnp

from zoo.attention import GPT, layer_groups
from zoo.case import Case
from zoo.residual import resnet50, resnet50_groups


def shapes_only(name, module, inputs, groups, note) -> Case:
    """A case whose variables and inputs are `ShapeDtypeStruct`s."""

    def variables(dtype=jnp.float32):
        return jax.eval_shape(module.init, jax.random.key(0), inputs)

    return Case(name, module.apply, variables, lambda _=None: (inputs,), groups, note)


CASES = [
    shapes_only(
        "resnet50-64-at-224",
        resnet50("batch", width=64, classes=1000),
        jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32),
        resnet50_groups(64),
        "as the small one: 37",
    ),
    shapes_only(
        "gpt2-small",
        GPT(
            vocabulary=50257,
            context=1024,
            width=768,
            heads=12,
            units=3072,
            depth=12,
        ),
        jax.ShapeDtypeStruct((2, 256), jnp.int32),
        [(768, 1), *layer_groups(12, 64, 3072) * 12],
        "the stream, and four in each of 12 layers: 49",
    ),
]
