"""Every mode of every config can be asked for every experiment."""

import pytest

import experiments
from configs import digits, mlp, recipes, resnet, vgg
from linconn_jax.study import Study

EXPERIMENTS = experiments.load()
MODES = [(digits, mode) for mode in ("full", "all", "smoke")]
MODES += [(mlp, mode) for mode in ("mnist", "fashion", "smoke")]
NETS = ("full", "cpu", "smoke", *recipes.IMP)
MODES += [(config, mode) for config in (vgg, resnet) for mode in NETS]
SLOW = {
    (config, mode)
    for config in (vgg, resnet)
    for mode in ("full", "cpu", "imp1", "imp5")
}


pytestmark = pytest.mark.usefixtures("ordinary_promotion")


@pytest.mark.parametrize(
    ("config", "mode"),
    [pytest.param(*x, marks=[pytest.mark.slow] if x in SLOW else []) for x in MODES],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_every_experiment_has_its_tasks(config, mode, tmp_path):
    """On random images; of smoke with all that is refused before anything is trained."""
    chosen = config.get_config(mode)
    chosen.dataset.mock = chosen.dataset.mock or 256
    study = Study(chosen.to_dict(), tmp_path)
    for experiment in EXPERIMENTS.values():
        experiment.check(study.settings)
        assert list(experiment.tasks(study)), experiment.name
    if mode == "smoke":
        counts = {e.name: len(study.tasks(e)) for e in EXPERIMENTS.values()}
        assert counts["transport"] < 60
        assert min(counts.values()) > 0


@pytest.mark.parametrize("config", [vgg, resnet])
def test_levels_of_pruning_restart_once(config):
    """At the rewind epoch, as the authors' do; the other runs restart at epoch 10."""
    for mode, epoch in recipes.IMP.items():
        found = config.get_config(mode)
        assert found.pruning.rewind_epoch == epoch
        assert found.train.restart_epochs == (epoch,)
        assert epoch in found.checkpoints.epochs
    assert config.get_config("full").train.restart_epochs == (10,)


@pytest.mark.parametrize("config", [vgg, resnet])
def test_narrow_convolutions_are_aligned_by_activations(config):
    """As weight matching does not align them; no experiment is left at the default."""
    found = config.get_config("cpu")
    for name, section in found.items():
        if name in EXPERIMENTS and "method" in section:
            assert section.method == "activation_matching", name
