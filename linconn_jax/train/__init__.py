"""Training many networks in one program: a loop over steps, mapped over seeds.

`Trainer.run` carries every seed from one step to another in one compiled call. Nothing in
it depends on where calls begin and end, on how many seeds run side by side, or on the
number of devices.

    made = train.trainer(model, optimizer, images, labels, seeds=2, batch_size=64)
    states = made.init((0, 1))
    states = made.run(states, (0, 1), 0, 1000)
"""

from linconn_jax.train.loop import Augment
from linconn_jax.train.state import (
    RUNNING,
    TrainState,
    forget_metrics,
    mean_metrics,
    spawn,
    summary,
)
from linconn_jax.train.trainer import (
    Trainer,
    default_at_once,
    init_key,
    noise_key_data,
    trainer,
)

__all__ = [
    "RUNNING",
    "Augment",
    "TrainState",
    "Trainer",
    "default_at_once",
    "forget_metrics",
    "init_key",
    "mean_metrics",
    "noise_key_data",
    "spawn",
    "summary",
    "trainer",
]
