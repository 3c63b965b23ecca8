"""The examples of the documentation run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def test_an_equinox_model_is_aligned_and_interpolated():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "equinox_model.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    naive, aligned = map(float, re.findall(r"barrier ([\d.]+)", done.stdout))
    # Trained networks, not aligned by chance: a tenth of the naive barrier is left.
    assert naive > 0.3
    assert aligned < naive / 4
