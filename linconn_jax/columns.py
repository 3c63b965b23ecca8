"""The columns of rows, and what stands in them."""

COLUMNS = {
    "quantity": "barrier, value (at a point), agreement, training, distance, ...",
    "value": "the number",
    "metric": "loss (cross-entropy, nats), error (0-1); l2, cosine, normalised; ...",
    "split": "train or test",
    "baseline": "of a barrier: interpolated, mean or max",
    "point": "of a value: list of k barycentric coordinates",
    "vertex": "of a value at a vertex: its number, from 0",
    "at": "of a barrier: the coordinates where it is reached, as point",
    "points": "number of points looked at",
    "inside": "of a simplex of 3 or more: how many points have no coordinate 0",
    "coords": "of a simplex of 3 or more: digest of the points",
    "examples": "number of examples averaged over",
    "limit": "only the first so many examples of a split were asked for, or None",
    "precision": "of matrix products, at least: the setting that they ran under",
    "method": "naive, or the alignment method",
    "path": "direct (one vertex is the reference), through (a third network), joint; "
    "composed (one alignment after another), cycle (back to the first vertex)",
    "k": "number of vertices",
    "seeds": "list of the seeds of the vertices",
    "reference": "seed that the others were aligned to; a list of several",
    "route": "of a composition: seeds, each aligned to the one before it",
    "length": "of a composition: how many alignments",
    "chance": "of an agreement: what random permutations have on average",
    "part": "of a mixed permutation: the axis names that are from another alignment",
    "part_method": "method of that alignment; so part_step, part_epoch, part_draw",
    "groups": "of a mixed permutation: axis names in the order of depth, without those "
    "that lie under others",
    "step": "checkpoint that was interpolated; a list of several",
    "fit_step": "checkpoint at which the permutation was found",
    "epoch": "step in passes over the training set",
    "fit_epoch": "fit_step in passes",
    "level": "of pruned networks: how often they were pruned; None: dense",
    "sparsity": "of pruned networks: the share of all kernels' entries that is removed",
    "fit_sparsity": "sparsity of the networks by which the permutation was found",
    "rewind_epoch": "of pruned networks: from which their training began again",
    "spawned_at": "of copies: the epoch at which they were the network of their seed",
    "noise": "of copies: number of their SGD noise since, 0: their seed's own; a list",
    "mask": "of networks trained under a mask found elsewhere: where it comes from",
    "mask_of": "of such a mask: list of the seeds of the networks it was found in",
    "draw": "number of the alignment's random key, from 1; of the first there is none",
    "axis": "axis name, or all (weighted by units); of a distance: leaf, layer, or all",
    "control": "of a distance: what stands in for the second network, or None",
    "vertices": "list of what defines each vertex completely",
    "fits": "of an agreement or objective: what defines each alignment completely",
    "record_at": "of training: the recorded steps",
    "diverged": "list of the seeds that take part and whose training diverged",
    "dataset": "name of the data set",
    "model": "name of the model",
    "family": "name of the model with W for its width",
    "width": "width multiplier of the model; a list where vertices differ",
    "config": "digest of what defines the training of the networks",
    "unit": "name of the measurement, which its rows share",
    "version": "of linconn_jax",
    "jax": "version",
    "device": "that computed the row",
}

_DERIVED = {
    "fit_": "of the networks by which the permutation was found",
    "part_": "of the alignment that `part` is from",
}
_MORE = {"masks": "what defines each mask completely", "seed": "None: see seeds"}


def explained(name: str) -> str:
    """What stands in a column of rows, whether it is listed or made by a rule.

    `fit_NAME` and `part_NAME` are NAME of other networks than those that were measured,
    and `METHOD.OPTION` is an option of a method, of several values none.

    Raises:
      ValueError: there is no such column.
    """
    if name in COLUMNS or name in _MORE:
        return (COLUMNS | _MORE)[name]
    for prefix, words in _DERIVED.items():
        if name.startswith(prefix):
            return f"{explained(name.removeprefix(prefix))}; {words}"
    method, _, option = name.partition(".")
    if option:
        return f"option {option} of the method {method}"
    raise ValueError(
        f"rows have no column {name!r}; results.COLUMNS lists those that there are"
    )
