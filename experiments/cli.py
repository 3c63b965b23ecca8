"""What all experiments share: flags, the workdir, messages and exit codes.

Exit codes: 0 done; 1 an error in the program; 2 bad input or a damaged file, said in one
message; 130 interrupted, start again to go on.
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from linconn_jax import parallel, progress
from linconn_jax.study import Study

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings, such as configs/digits.py or configs/vgg.py:smoke."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is kept; default runs/NAME of the config."
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")


def main(run: Callable[[Study], None]) -> None:
    """Runs an experiment on the study that the command line names."""
    logging.set_verbosity(logging.WARNING)
    flags.mark_flag_as_required("config")
    for name in ("config", "workdir", "debug"):
        flags.declare_key_flag(name, flag_values=flags.FLAGS)
    app.run(lambda argv: sys.exit(_guarded(run, argv)), flags_parser=_parsed)


def _parsed(argv: list[str]) -> list[str]:
    """Sets the flags. What the config file raises on the way comes in many wrappings."""
    try:
        return flags.FLAGS(argv)
    except Exception as error:
        if "--debug" in argv:
            raise
        progress.say(f"error: {_reason(error)}\n(--helpshort lists the flags)")
        sys.exit(2)


def _reason(error: Exception) -> str:
    """The part of the message of a failed flag that is for the user."""
    text = str(error).replace("\\n", "\n").replace("\\'", "'")
    lines = [line.strip(" '\"") for line in text.splitlines() if line.strip()]
    if isinstance(error, KeyError | AttributeError):
        return f"unknown setting {': '.join(lines)}"
    return lines[-1].removeprefix("ValueError: ")  # the end of a traceback, if any


def _guarded(run: Callable[[Study], None], argv: list[str]) -> int:
    try:
        if len(argv) > 1:
            raise ValueError(f"unknown arguments {argv[1:]}; flags begin with --")
        parallel.initialize()
        with progress.interruptible():
            run(_study())
        return 0
    except KeyboardInterrupt:
        progress.say("interrupted; what was recorded is kept, start again to go on")
        return 130
    except (ValueError, OSError) as error:
        if _DEBUG.value:
            traceback.print_exc()
        progress.say(f"error: {error}\n(--debug shows where in the program)")
        return 2


def _study() -> Study:
    config = _CONFIG.value.to_dict()
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    name = Path(path.partition(":")[0]).stem
    mode = path.partition(":")[2]
    default = Path("runs") / (f"{name}_{mode}" if mode else name)
    workdir = Path(_WORKDIR.value or default).absolute()
    _cache_compilations()
    study = Study(config, workdir, source=path)
    if parallel.is_main_process():
        progress.say(
            f"{path} on {jax.device_count()} {jax.default_backend()} device(s)"
        )
        progress.say(f"everything is kept in {os.path.relpath(workdir)}")
    return study


def _cache_compilations() -> None:
    """Keeps compiled programs between runs, unless the user has said where."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "linconn_jax" / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
