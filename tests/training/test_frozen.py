import jax
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.frozen import load_tokenizer, read_run
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.stages.tokenizer import AdversarialSettings, Settings, TokenizerObjective, build

QUANTIZER = QuantizerSettings(kind="simvq", size=16, features=4)
MODEL = TokenizerSettings(
    MasterSettings(size=16, patch=8, width=8, depth=2, heads=2, quantizer=QUANTIZER),
    AuxiliarySettings(patch=8, window=2, width=8, depth=2, heads=2, groups=1, quantizer=QUANTIZER),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Work folder of a run with a discriminator, and the averaged and plain parameters and the state in it."""
    settings = Settings(
        model=MODEL,
        objective=TokenizerObjective(adversarial=AdversarialSettings(weight=0.1, width=8, depth=1)),
        optimizer=OptimizerSettings(ema_decay=0.9),
    )
    image = {"image": np.zeros((1, 16, 16, 3), np.uint8)}
    abstract = jax.eval_shape(lambda: build(settings).init(jax.random.key(0), image))
    rng = np.random.default_rng(0)
    plain, averaged = (jax.tree.map(lambda x: jax.device_put(rng.random(x.shape, np.float32)), abstract) for _ in range(2))
    folder = tmp_path_factory.mktemp("run")
    state = {"params": plain[0], "ema": averaged[0], "model_state": plain[1]}
    with Checkpointer(folder / "checkpoints") as checkpoints:
        checkpoints.save(7, state, {"config": config.to_json(settings)})
    return folder, state


def test_averaged_parameters_and_state_are_read_without_what_only_training_needs(run):
    folder, state = run
    frozen = load_tokenizer(folder)
    assert frozen.settings == MODEL
    assert frozen.step == 7
    assert frozen.config["optimizer"]["ema_decay"] == 0.9
    expected = {"params": state["ema"]["tokenizer"], **state["model_state"]}
    assert "codebook" in expected
    jax.tree.map(np.testing.assert_array_equal, frozen.variables, expected)


def test_what_is_not_a_run_of_that_stage_is_refused(run, tmp_path):
    folder, _ = run
    with pytest.raises(InputError, match="not the work folder of a training run"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="a run of stage 'tokenizer'; want stage 'detail'"):
        read_run(folder, "detail")
    with pytest.raises(InputError, match="no checkpoint of step 3"):
        load_tokenizer(folder, 3)
