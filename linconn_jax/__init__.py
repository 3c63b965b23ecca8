"""Linear connectivity of neural networks modulo permutation, in JAX.

The verbs, in the order data flows through them: `data.load`, `models.build`,
`train.train`, `trajectory`, `align`, `permutation.permute`, `interpolate`, `barrier`.
`compare` does all of it from `align` on, for networks of your own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linconn_jax.comparison import compare as compare

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`compare`, imported when it is asked for: the core needs nothing of it."""
    if name == "compare":
        from linconn_jax.comparison import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "compare"})
