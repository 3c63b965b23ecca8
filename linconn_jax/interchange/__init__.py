"""Networks of other frameworks in and out: safetensors, and `.pth` without torch.

`load` gives named arrays, `from_torch` lays them out as a tree by a few rules, and
`to_torch` takes a permuted tree back. `save` writes any tree.
"""

from linconn_jax.interchange import layouts, torchvision
from linconn_jax.interchange.convert import from_torch, to_torch
from linconn_jax.interchange.files import load, metadata, save
from linconn_jax.interchange.layouts import Layout
from linconn_jax.interchange.named import leaves, nest, restore
from linconn_jax.interchange.rules import (
    Part,
    Rule,
    batch_norm,
    conv,
    dense,
    embedding,
    leaf,
    norm,
    tied,
    unread,
)

__all__ = [
    "Layout",
    "Part",
    "Rule",
    "batch_norm",
    "conv",
    "dense",
    "embedding",
    "from_torch",
    "layouts",
    "leaf",
    "leaves",
    "load",
    "metadata",
    "nest",
    "norm",
    "restore",
    "save",
    "tied",
    "to_torch",
    "torchvision",
    "unread",
]
