"""Linear connectivity of neural networks modulo permutation, in JAX.

The verbs, in the order data flows through them: `data.load`, `models.build`,
`train.train`, `trajectory`, `align`, `permutation.permute`, `interpolate`, `barrier`.
"""

__version__ = "0.1.0"
