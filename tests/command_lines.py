"""Many command lines in one process: imports, which take seconds, are paid once."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FORKS = """
import json, os, sys, tempfile
from experiments import cli, report

answers = {}
for name, words in json.loads(sys.argv[1]).items():
    streams = [tempfile.TemporaryFile("w+") for _ in range(2)]
    child = os.fork()  # before JAX has started any thread
    if not child:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream.fileno(), number)
        while "=" in words[0]:
            key, value = words.pop(0).split("=")
            os.environ[key] = value
        sys.argv = words
        try:
            cli.main({"report": report.run}.get(words[0], words[0]))
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)  # at once: to take the interpreter down lasts a second
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for stream in streams:
        stream.seek(0)
    answers[name] = (code, *(stream.read() for stream in streams))
print(json.dumps(answers))
"""


def answers(lines, *, cwd=ROOT, **environment):
    """`{name: (exit code, output, errors)}` of command lines, each in a process forked.

    `lines` are `{name: words}`, the first word an experiment's name; as in a shell,
    variables of the environment (`NAME=value`) may stand before it.
    """
    done = subprocess.run(
        [sys.executable, "-c", FORKS, json.dumps(lines)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
