"""A mapping: a list of rules that say what becomes of each key of a `state_dict`.

    [
        conv("features.{i}", "conv_{#}"),
        batch_norm("features.{i}", "norm_{#}"),
        dense("classifier.{i}", "dense_{#}"),
    ]

`moves` reads it, `convert` carries it out.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from linconn_jax.interchange import layouts, patterns
from linconn_jax.interchange.layouts import Layout
from linconn_jax.interchange.rules import Rule


@dataclasses.dataclass(frozen=True)
class Move:
    """What becomes of one array of a `state_dict`.

    Attributes:
      key: of the array.
      rule: that takes it.
      leaf: path of the leaf that it fills; None if it has no place in the tree.
      layout: how it is re-ordered.
      twin: key of the array that it repeats, if it is tied.
    """

    key: str
    rule: Rule
    leaf: str | None = None
    layout: Layout = layouts.SAME
    twin: str | None = None


def moves(state: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> list[Move]:
    """What becomes of each key of a `state_dict`, in its order.

    Raises:
      ValueError: with all that is wrong: keys that no rule takes or that several take,
        modules that lack an array, leaves that several keys would fill, rules without a
        hole whose module is not there, and keys tied to what fills no leaf.
    """
    found, faults = [], []
    modules = _modules(state)
    for rule in rules:
        mine, wrong = _apply(rule, state, modules)
        found += mine
        faults += wrong
    faults += _left_over(state, found, rules) + _clashes(found) + _untied(found)
    if faults:
        raise ValueError("the rules do not fit the state_dict:\n" + "\n".join(faults))
    order = {key: i for i, key in enumerate(state)}
    return sorted(found, key=lambda move: order[move.key])


def _modules(state: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """`{"features.0": {"weight": ..., "bias": ...}}`."""
    modules: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for key, array in state.items():
        module, _, suffix = key.rpartition(".")
        modules[module][suffix] = array
    return dict(modules)


def _matches(
    rule: Rule,
    state: Mapping[str, np.ndarray],
    modules: Mapping[str, dict[str, np.ndarray]],
) -> Iterator[tuple[str, dict[str, str], dict[str, np.ndarray]]]:
    """Name, holes and arrays of what a rule takes, in natural order."""
    pattern = patterns.compile(rule.torch)
    if "" in {part.suffix for part in rule.parts} | set(rule.unread):
        modules = {key: {"": array} for key, array in state.items()}
    matches = [match for name in modules if (match := pattern.fullmatch(name))]
    for match in sorted(matches, key=lambda match: patterns.natural(match[0])):
        if rule.fits(modules[match[0]]):
            yield match[0], match.groupdict(), modules[match[0]]


def _apply(
    rule: Rule,
    state: Mapping[str, np.ndarray],
    modules: Mapping[str, dict[str, np.ndarray]],
) -> tuple[list[Move], list[str]]:
    found, faults, count = [], [], 0
    matches = _matches(rule, state, modules)
    for count, (name, holes, module) in enumerate(matches, start=1):
        path = patterns.fill(rule.tree, holes, count)
        for part in rule.parts:
            key = f"{name}.{part.suffix}".removesuffix(".")
            if part.suffix in module:
                leaf = part.leaf.replace("{}", path)
                found.append(Move(key, rule, leaf, part.layout))
            elif part.needed:
                faults.append(f"  missing key: {key!r}, needed by {rule}")
        for suffix in rule.unread:
            if suffix in module:
                key = f"{name}.{suffix}".removesuffix(".")
                found.append(Move(key, rule, twin=path if rule.tied else None))
    if not count and "{" not in rule.torch:
        faults.append(
            f"  missing: {rule.torch!r}, or it is of another kind than {rule}"
        )
    return found, faults


def _left_over(
    state: Mapping[str, np.ndarray], found: Sequence[Move], rules: Sequence[Rule]
) -> list[str]:
    taken = {move.key for move in found}
    extra = [key for key in state if key not in taken]
    if not extra:
        return []
    idle = [str(r) for r in rules if not any(move.rule is r for move in found)]
    faults = [f"  keys that no rule takes: {extra}"]
    return faults + [f"  rules that take none: {idle}"] * bool(idle)


def _clashes(found: Sequence[Move]) -> list[str]:
    takers: dict[str, list[str]] = defaultdict(list)
    fillers: dict[str, list[str]] = defaultdict(list)
    for move in found:
        takers[move.key].append(str(move.rule))
        if move.leaf is not None and move.key not in fillers[move.leaf]:
            fillers[move.leaf].append(move.key)
    several = [
        f"  {key!r} is taken by several rules: {rules}"
        for key, rules in takers.items()
        if len(rules) > 1
    ]
    return several + [
        f"  leaf {leaf!r} would be filled by several keys: {keys}"
        for leaf, keys in fillers.items()
        if len(keys) > 1
    ]


def _untied(found: Sequence[Move]) -> list[str]:
    filling = {move.key for move in found if move.leaf is not None}
    return [
        f"  {move.key!r} is tied to {move.twin!r}, which is no key that fills a leaf"
        for move in found
        if move.twin is not None and move.twin not in filling
    ]
