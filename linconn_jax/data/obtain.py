"""Where a set comes from: a prepared copy, else archives that are prepared now."""

import dataclasses
import difflib
from pathlib import Path

import tensorflow_datasets as tfds

from linconn_jax.data import archives, composite, digits, prepared, standard


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for, checked.

    Attributes:
      name: of the set.
      folder: the user's own copy of the official archives.
      folders: where prepared sets are looked for; the first is written to.
      examples: how many to give of each split; None for all.
      silent: show no progress.
    """

    name: str
    folder: Path | None
    folders: list[Path]
    examples: dict[str, int | None]
    silent: bool


def known_names() -> list[str]:
    """Names that `load` accepts without a prepared copy, then tfds's own."""
    first = ["digits", composite.NAME, *standard.NAMES]
    others = tfds.list_builders(with_community_datasets=False)
    return first + [name for name in others if name not in first]


def prepared_path(request: Request) -> Path:
    """Folder of the prepared set, which is prepared now if it is not there yet.

    Raises:
      ValueError: the name is unknown, or an archive missing in `folder` or damaged.
      FileNotFoundError: there is no copy and no network.
    """
    name, data_dir = request.name, request.folders[0]
    found = prepared.find(name, request.folders)
    if found is not None:
        return found
    if name != "digits" and name not in standard.NAMES:
        raise not_preparable(request)
    with prepared.locked(data_dir, name):
        found = prepared.find(name, request.folders)  # by another process meanwhile
        if found is not None:
            return found
        if name == "digits":
            return prepared.build(digits.Digits(data_dir=data_dir))
        files = _archives(request)
        return standard.prepare(name, files, data_dir, silent=request.silent)


def _archives(request: Request) -> dict[str, Path]:
    """Checked archives of a standard set: the user's, the system's, the network's."""
    name = request.name
    if request.folder is not None:
        return archives.from_folder(request.folder, name)
    found = archives.from_system(name)
    if found is not None:
        return found
    try:
        return archives.from_network(
            name, request.folders[0] / "downloads", silent=request.silent
        )
    except ConnectionError as error:
        wanted = ", ".join(a.file for a in archives.official(name))
        raise FileNotFoundError(
            f"no copy of the data set {name!r} was found and it cannot be downloaded "
            f"({error}). Looked for a prepared set in "
            f"{', '.join(str(d / name) for d in request.folders)}. Three ways on: "
            f"(1) put the official archives ({wanted}) in a folder and give folder=...; "
            f"(2) copy a set prepared by tfds elsewhere to {request.folders[0] / name}; "
            "(3) connect to the network and run again. 'digits' needs none of these."
        ) from error


def not_preparable(request: Request) -> ValueError | FileNotFoundError:
    """The error for a set of which there is no prepared copy and no archive reader."""
    name = request.name
    looked = ", ".join(str(folder / name) for folder in request.folders)
    others = {
        path.parent.parent.relative_to(folder).as_posix()
        for folder in request.folders
        for path in folder.glob(f"{name}/*/*/dataset_info.json")
    }
    if others:
        return ValueError(
            f"the data set {name!r} has configurations; name one of those prepared: "
            f"{', '.join(sorted(others))}"
        )
    if name.split("/")[0] in known_names():
        return FileNotFoundError(
            f"the data set {name!r} is known to tfds but not prepared (looked in "
            f"{looked}), and preparing it needs TensorFlow: where that is installed run "
            f"'tfds build {name} --file_format=array_record' and copy the folder to "
            f"{request.folders[0] / name}"
        )
    close = difflib.get_close_matches(name, known_names(), n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return ValueError(
        f"unknown data set {name!r}{hint} Known without a copy: 'digits', "
        f"{', '.join(map(repr, (*standard.NAMES, composite.NAME)))}; any other set must "
        f"be prepared in tfds's layout (looked in {looked})"
    )
