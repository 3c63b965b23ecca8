"""The layers: who may import whom, and one owner for each dependency."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "typing trees files parallel progress checks declared functions registry threads": 0,
    "machine columns": 0,
    "permutation metrics simplex barrier optimizers interchange": 1,
    "data models extras prune": 2,
    "train trajectory align interpolate": 3,
    "results provenance recording report workdir": 4,
    "study": 5,
    "comparison": 6,
}
LEVEL = {name: level for names, level in LAYERS.items() for name in names.split()}
OWNERS = {
    "flax": {"models"},
    "orbax": {"trajectory"},
    "tensorflow_datasets": {"data"},
    "matplotlib": {"report", "experiments"},
    "scipy": {"align", "data"},
    "ml_collections": {"configs", "experiments"},
    "tensorflow": set(),
    "torch": set(),
}


def imports(source):
    """Dotted names that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(room, source):
    """What is wrong with the imports of a module in `room`."""
    for name in sorted(set(imports(source))):
        top, *rest = name.split(".")
        if top in OWNERS and room not in OWNERS[top]:
            yield f"{room} imports {name}"
        if top == "linconn_jax" and rest and rest[0] in LEVEL and room in LEVEL:
            own, other = LEVEL[room], LEVEL[rest[0]]
            siblings = own == other == 3 and room != rest[0]
            if other > own or siblings:
                yield f"{room} imports {name}"
        if top in ("experiments", "configs") and room not in ("experiments", "configs"):
            yield f"{room} imports {name}"


def modules():
    for folder in ("linconn_jax", "experiments", "configs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield parts[1] if folder == "linconn_jax" else folder, path


@pytest.mark.parametrize(
    ("room", "path"), list(modules()), ids=lambda x: getattr(x, "stem", x)
)
def test_imports_go_down(room, path):
    assert list(faults(room, path.read_text())) == []


CORE = {
    *("permutation", "align", "extras", "interchange", "interpolate", "simplex"),
    *(
        "barrier",
        "metrics",
        "prune",
        "trees",
        "parallel",
        "files",
        "functions",
        "checks",
        "declared",
        "typing",
        "registry",
        "threads",
    ),
}
INSTALLED = {"jax", "numpy", "scipy", "jaxtyping", "safetensors"}  # setup.py, _CORE
BEHIND_JAX = {"ml_dtypes"}  # which JAX itself needs


def foreign(source):
    """What a module of the core imports that `pip install linconn_jax` does not bring."""
    for name in imports(source):
        top, *rest = name.split(".")
        ours = top == "linconn_jax" and (not rest or rest[0] in CORE)
        known = INSTALLED | BEHIND_JAX | sys.stdlib_module_names
        if not (ours or top in known):
            yield name


@pytest.mark.parametrize(
    "path", [p for room, p in modules() if room in CORE], ids=lambda p: p.stem
)
def test_the_core_needs_little(path):
    assert list(foreign(path.read_text())) == []


def test_more_than_the_core_is_found():
    assert list(foreign("from linconn_jax import models"))
    assert list(foreign("import optax"))
    assert not list(foreign("import jax.numpy as jnp"))


def test_no_file_is_long():
    lengths = {path: len(path.read_text().splitlines()) for _, path in modules()}
    assert {path: n for path, n in lengths.items() if n > 250} == {}


def test_every_room_has_a_level():
    rooms = {room for room, path in modules() if path.parent != ROOT / "linconn_jax"}
    alone = {p.stem for p in (ROOT / "linconn_jax").glob("[!_]*.py")}
    assert (rooms | alone) - {"experiments", "configs"} == LEVEL.keys()


def test_wrong_imports_are_found():
    assert list(faults("metrics", "from linconn_jax import train"))
    assert list(faults("align", "from linconn_jax.interpolate import evaluate_simplex"))
    assert list(faults("train", "import flax.linen"))
    assert not list(faults("train", "from linconn_jax import metrics"))


def test_experiments_only_compose():
    for room, path in modules():
        if room == "experiments":
            names = {
                getattr(n, "attr", "") for n in ast.walk(ast.parse(path.read_text()))
            }
            assert not names & {"jit", "grad", "vmap", "savefig"}, path
