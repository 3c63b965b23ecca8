"""Interrupts of long work: each one arrives, and only while somebody waits for it."""

import signal

import pytest

from linconn_jax import progress


class Finalizer:
    """Interrupted while Python clears it away, where no exception can leave."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler: jobs in the background may have been started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def advance_after(lost, steps=3):
    done = []
    with progress.task("work", steps, unit="steps") as task:
        for step in range(steps):
            if step == lost:
                Finalizer()
            done.append(step)
            task.advance()
    return done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_got_lost_comes_at_the_next_step():
    assert advance_after(1) == [0, 1, 2]  # so Python has it
    with pytest.raises(KeyboardInterrupt), progress.interruptible():
        advance_after(1)
    with pytest.raises(KeyboardInterrupt), progress.interruptible():
        Finalizer()
    with progress.interruptible():
        assert advance_after(None) == [0, 1, 2]


def test_time_left_does_not_count_compilation(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.task("work", 14, unit="steps") as task:
        task.skip(2)
        now[0] = 60.0  # compiled
        task.advance()
        assert "left" not in task.text()
        for _ in range(5):
            now[0] += 2.0
            task.advance()
        assert task.text() == "8/14 steps, 0.5 steps/s, 12 s left"
        task.advance(6)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "  work: 3/14 steps"
    assert second == "  work: 8/14 steps, 0.5 steps/s, 12 s left"


def test_an_interrupt_comes_at_once_and_once():
    with pytest.raises(KeyboardInterrupt), progress.interruptible():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert advance_after(None) == [0, 1, 2]


def test_a_job_that_ignores_interrupts_goes_on():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with progress.interruptible():
        signal.raise_signal(signal.SIGINT)
        assert advance_after(None) == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
