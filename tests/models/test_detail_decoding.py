import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.detail import CERTAIN, DetailLogits
from ugf_jax.models.detail_decoding import draw_details
from ugf_jax.models.digits import Digits
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings
from ugf_jax.models.unmasking import UnmaskSettings

FSQ = QuantizerSettings(levels=(5, 4))
AUXILIARY = AuxiliarySettings(patch=4, window=4, width=16, depth=2, heads=2, groups=2, levels=2, keep=0.6, quantizer=FSQ)
MASTER = MasterSettings(size=16, patch=8, width=16, depth=2, heads=2, quantizer=FSQ)
TOKENIZER = DualTokenizer(TokenizerSettings(MASTER, AUXILIARY))
SIZE = (20, 28)
HOW = UnmaskSettings(steps=3)


class Knowing:
    """In place of a detail model: knows the codes that are its parameters, and remembers what it was shown."""

    digits = Digits(FSQ.levels)

    def __init__(self):
        self.ups = []

    def apply(self, variables, up, index, masked, kept, level):
        codes, true = (x[level] for x in variables["params"])
        self.ups.append(up)
        hot = jnp.sum(jax.nn.one_hot(self.digits.rows(codes), self.digits.values), axis=-2)
        return DetailLogits(CERTAIN * hot, jnp.where(true, CERTAIN, -CERTAIN), jnp.zeros((2, 9, 9)))


@pytest.fixture(scope="module")
def case():
    """Variables, the master's image, and codes and outputs of two levels."""
    image = jnp.tanh(jax.random.normal(jax.random.key(0), (2, *SIZE, 3)))
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: TOKENIZER.init(jax.random.key(1), image)))
    rng = np.random.default_rng(0)
    variables = tree.unflatten([0.3 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])

    @jax.jit
    def code(variables, image):
        _, low = TOKENIZER.apply(variables, TOKENIZER.apply({}, image, method="squash"), method="encode_master")
        return low, *TOKENIZER.apply(variables, image, low, method="encode_levels")

    return variables, *code(variables, image)


def test_a_model_that_knows_the_codes_paints_the_picture_level_by_level(case):
    variables, low, codes, levels = case
    model, truth = Knowing(), (codes, tuple(level.kept for level in levels))

    @jax.jit
    def run(variables, low, truth):
        return draw_details(TOKENIZER, variables, model, truth, low, SIZE, jax.random.key(0), HOW)

    details = run(variables, low, truth)
    for drawn, true in zip((details.auxiliary, details.kept), truth, strict=True):
        assert len(drawn) == 2
        jax.tree.map(np.testing.assert_array_equal, drawn, true)
    np.testing.assert_allclose(details.recon, levels[-1].recon, atol=2e-5)
    assert [up.shape[1:3] for up in model.ups] == [level.up.shape[1:3] for level in levels]
