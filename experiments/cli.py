"""What all experiments share: flags, the workdir, messages and exit codes.

Exit codes: 0 done; 1 an error in the program; 2 bad input or a damaged file, said in one
message; 130 interrupted, start again to go on.
"""

import importlib
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

import experiments
from experiments import command_line
from experiments.dry_run import dry_run
from linconn_jax import declared, parallel, progress, study
from linconn_jax.study import Study, settings

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings, such as configs/digits.py or configs/vgg.py:smoke."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is kept; default runs/NAME of the config."
)
_PLUGIN = flags.DEFINE_multi_string(
    "plugin",
    [],
    "A module of yours, imported first: its methods, experiments and their settings "
    "take part",
)
_EXPERIMENTS = flags.DEFINE_list(
    "experiments",
    None,
    "Which of them paper and status take; default as the config says.",
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "Only say what is to be done and, from a probe, how long it takes.",
)
_FLAGS = ("config", "workdir", "experiments", "plugin", "debug", "dry_run")
_HELP = {"--help", "-help", "--helpshort", "-helpshort", "-h"}


def main(run: str | Callable[[Study], None]) -> None:
    """Runs an experiment on the study that the command line names.

    Args:
      run: name of a registered experiment, or what is to be done with the study.
    """
    logging.set_verbosity(logging.WARNING)
    _import_plugins(sys.argv[1:])
    if _HELP & set(sys.argv[1:]):
        sys.stdout.write(_help())
        sys.exit(0)
    flags.mark_flag_as_required("config")
    for name in _FLAGS:
        flags.declare_key_flag(name, flag_values=flags.FLAGS)
    app.run(lambda argv: sys.exit(_guarded(run, argv)), flags_parser=_parsed)


def _import_plugins(words: list[str]) -> None:
    """Imports what takes part, before the config file asks for its settings."""
    experiments.load()
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    for flag, module in command_line.given(words):
        if flag != "plugin":
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            if "--debug" in words:
                raise
            progress.say(
                f"error: --plugin={module} cannot be imported: "
                f"{type(error).__name__}: {error}\n(give a module's name, as after "
                "import, that Python finds from here; --debug shows where it fails)"
            )
            sys.exit(2)


def _help() -> str:
    """What `--help` says: the experiment, the flags, and every setting."""
    program = sys.modules["__main__"]
    name = getattr(program.__spec__, "name", None) or "experiments.NAME"
    lines = [(program.__doc__ or "").strip(), ""]
    lines += [f"python -m {name} --config=FILE.py [--FLAG=VALUE ...]", ""]
    for flag in _FLAGS:
        said = " ".join(flags.FLAGS[flag].help.split())
        lines += textwrap.wrap(f"--{flag}: {said}", 84, subsequent_indent="    ")
    lines += ["", "Settings, each with its default; --config.NAME=VALUE sets one:", ""]
    lines.append(settings.describe(settings.options(study.sections())))
    return "\n".join(lines) + "\n"


def _parsed(argv: list[str]) -> list[str]:
    """Sets the flags. What the config file raises on the way comes in many wrappings."""
    try:
        known = settings.options(study.sections())
        command_line.prepare(flags.FLAGS["config"], argv, known)
        return flags.FLAGS(argv)
    except Exception as error:
        if "--debug" in argv:
            raise
        progress.say(f"error: {_reason(error)}\n(--help lists the flags and settings)")
        sys.exit(2)


def _reason(error: Exception) -> str:
    """The part of the message of a failed flag that is for the user."""
    text = str(error).replace("\\n", "\n").replace("\\'", "'")
    lines = [_unquoted(line.strip()) for line in text.splitlines() if line.strip()]
    if isinstance(error, KeyError | AttributeError):
        said = f"unknown setting {': '.join(lines)}"
        return said if "did you mean" in said.lower() else f"{said}; {declared.PLUGIN}"
    return lines[-1].removeprefix("ValueError: ")  # the end of a traceback, if any


def _unquoted(line: str) -> str:
    """Without quotes around it, but with those around its last word."""
    for quote in "\"'":
        line = line.removeprefix(quote)
        if line.count(quote) % 2:
            line = line.removesuffix(quote)
    return line


def _guarded(run: str | Callable[[Study], None], argv: list[str]) -> int:
    try:
        if len(argv) > 1:
            raise ValueError(f"unknown arguments {argv[1:]}; flags begin with --")
        parallel.initialize()
        with progress.interruptible():
            _do(run, _study())
        return 0
    except KeyboardInterrupt:
        progress.say("interrupted; what was recorded is kept, start again to go on")
        return 130
    except (ValueError, OSError) as error:
        if _DEBUG.value:
            traceback.print_exc()
        progress.say(f"error: {error}\n(--debug shows where in the program)")
        return 2


def _do(run: str | Callable[[Study], None], made: Study) -> None:
    if _DRY_RUN.value:
        chosen = [study.experiment(run)] if isinstance(run, str) else None
        progress.say(dry_run(made, chosen or made.experiments()))
    elif isinstance(run, str):
        made.run(study.experiment(run))
    else:
        run(made)


def _study() -> Study:
    config = _CONFIG.value.to_dict()
    if _EXPERIMENTS.value is not None:
        config["experiments"] = tuple(_EXPERIMENTS.value)
    path = config_flags.get_config_filename(flags.FLAGS["config"])
    name = Path(path.partition(":")[0]).stem
    mode = path.partition(":")[2]
    default = Path("runs") / (f"{name}_{mode}" if mode else name)
    workdir = Path(_WORKDIR.value or default).absolute()
    _cache_compilations()
    made = Study(config, workdir, source=path)
    if parallel.is_main_process():
        progress.say(
            f"{path} on {jax.device_count()} {jax.default_backend()} device(s)"
        )
        progress.say(f"everything is kept in {os.path.relpath(workdir)}")
    return made


def _cache_compilations() -> None:
    """Keeps compiled programs between runs, unless the user has said where."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "linconn_jax" / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
