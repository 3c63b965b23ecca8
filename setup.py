"""Package metadata of linconn_jax; `pyproject.toml` holds the tools' settings."""

from pathlib import Path

from setuptools import find_packages, setup

# What `permutation`, `align`, `interpolate`, `barrier` and `interchange` need.
_CORE = ["jax>=0.9", "numpy>=2.0", "scipy>=1.14", "jaxtyping>=0.3", "safetensors>=0.5"]
# What trains networks, keeps them on disk and reports.
_STUDY = [
    "flax>=0.12",
    "optax>=0.2.5",
    "orbax-checkpoint>=0.11.30",
    "tensorflow-datasets>=4.9.9",
    "importlib_resources>=6",  # tensorflow-datasets needs it undeclared
    "array_record>=0.8",
    "ml_collections>=1.1",
    "scikit-learn>=1.5",  # carries the embedded data set, digits
    "pandas>=2.2",
    "matplotlib>=3.9",
    "rich>=13.7",
    "absl-py>=2.1",
]
_COLOUR = ["scikit-image>=0.24"]
_TEST = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "beartype>=0.18"]
_ZOO = ["equinox>=0.13", "dm-haiku>=0.0.17"]  # libraries whose models are traced

setup(
    name="linconn_jax",
    version="0.1.0",
    description="Linear connectivity of neural networks modulo permutation, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(
        include=["linconn_jax", "linconn_jax.*", "experiments", "configs"]
    ),
    package_data={"linconn_jax": ["py.typed", "report/page.html", "report/*.mplstyle"]},
    install_requires=_CORE,
    extras_require={
        "study": _STUDY,
        "colour": _STUDY + _COLOUR,
        "test": _STUDY + _TEST + _ZOO + _COLOUR,
        "cuda": ["jax[cuda12]>=0.9"],
        "tpu": ["jax[tpu]>=0.9"],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
