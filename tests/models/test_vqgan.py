import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGAN, AttentionBlock, Downsample, Upsample, VQGANSettings

CHAMELEON = VQGAN(VQGANSettings(), QuantizerSettings(kind="vq", size=8192, features=256))


def everything(model, image):
    out = model.encode(image)
    return model.paint(out.value), out.index


@pytest.fixture(scope="module")
def chameleon():
    """Shapes of all variables of the full network, without making them."""
    image = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
    (recon, index), variables = jax.eval_shape(
        lambda x: CHAMELEON.init_with_output(jax.random.key(0), x, method=everything), image
    )
    assert recon.shape == (1, 512, 512, 3)
    assert index.shape == (1, 32, 32)
    flat = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {".".join(k.key for k in path): leaf.shape for path, leaf in flat}, variables


def reference_inventory():
    """Names and shapes that the published layout has, written from its description: ch 128, ch_mult (1, 1, 2, 2, 4)."""
    shapes = {}

    def conv(name, size, inputs, outputs):
        shapes[f"{name}.kernel"], shapes[f"{name}.bias"] = (size, size, inputs, outputs), (outputs,)

    def norm(name, channels):
        shapes[f"{name}.scale"] = shapes[f"{name}.bias"] = (channels,)

    def residual(name, inputs, outputs):
        norm(f"{name}.norm1", inputs)
        conv(f"{name}.conv1", 3, inputs, outputs)
        norm(f"{name}.norm2", outputs)
        conv(f"{name}.conv2", 3, outputs, outputs)
        if inputs != outputs:
            conv(f"{name}.nin_shortcut", 1, inputs, outputs)

    def middle(name):
        residual(f"{name}.block_1", 512, 512)
        norm(f"{name}.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.attn_1.{part}", 1, 512, 512)
        residual(f"{name}.block_2", 512, 512)

    channels = [128, 128, 256, 256, 512]
    conv("encoder.conv_in", 3, 3, 128)
    before = 128
    for i, n in enumerate(channels):
        for j in range(2):
            residual(f"encoder.down_{i}.block_{j}", before, n)
            before = n
        if i < 4:
            conv(f"encoder.down_{i}.downsample.conv", 3, n, n)
    middle("encoder.mid")
    norm("encoder.norm_out", 512)
    conv("encoder.conv_out", 3, 512, 256)
    conv("quant_conv", 1, 256, 256)
    conv("post_quant_conv", 1, 256, 256)
    conv("decoder.conv_in", 3, 256, 512)
    middle("decoder.mid")
    for i, n in reversed(list(enumerate(channels))):
        for j in range(3):
            residual(f"decoder.up_{i}.block_{j}", before, n)
            before = n
        if i:
            conv(f"decoder.up_{i}.upsample.conv", 3, n, n)
    norm("decoder.norm_out", 128)
    conv("decoder.conv_out", 3, 128, 3)
    return shapes


def test_it_has_exactly_the_parameters_of_chameleons_tokenizer(chameleon):
    shapes, variables = chameleon
    assert shapes == reference_inventory()
    assert variables["codebook"]["quantize"]["embedding"].shape == (8192, 256)


@pytest.fixture(scope="module")
def small():
    model = VQGAN(VQGANSettings(32, (1, 2), 1, 8), QuantizerSettings(kind="vq", size=16, features=4))
    image = jnp.tanh(jax.random.normal(jax.random.key(0), (2, 8, 12, 3)))
    return model, jax.jit(lambda: model.init(jax.random.key(1), image, method=everything))(), image


def test_codes_decode_to_the_reconstruction_at_any_size(small):
    model, variables, image = small
    recon, index = jax.jit(lambda v: model.apply(v, image, method=everything))(variables)
    assert index.shape == (2, 4, 6)
    assert recon.shape == image.shape
    again = jax.jit(lambda v: model.apply(v, index, method=lambda m, i: m.paint(m.lookup(i))))(variables)
    np.testing.assert_allclose(again, recon, atol=2e-5)


def test_downsampling_is_padded_at_the_end_only():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    params = Downsample().init(jax.random.key(1), x)
    kernel = np.asarray(params["params"]["conv"]["kernel"])
    y = Downsample().apply(params, x)
    np.testing.assert_allclose(y[0, 0, 0], np.einsum("rci,rcio->o", x[0, :3, :3], kernel), atol=1e-5)
    np.testing.assert_allclose(y[0, 1, 1], np.einsum("rci,rcio->o", x[0, 2:, 2:], kernel[:2, :2]), atol=1e-5)


def test_upsampling_repeats_pixels():
    x = jax.random.normal(jax.random.key(0), (1, 2, 3, 2))
    params = jax.tree.map(jnp.zeros_like, Upsample().init(jax.random.key(1), x))
    params["params"]["conv"]["kernel"] = params["params"]["conv"]["kernel"].at[1, 1].set(jnp.eye(2))
    y = Upsample().apply(params, x)
    for i in (0, 1):
        for j in (0, 1):
            np.testing.assert_allclose(y[:, i::2, j::2], x, atol=1e-6)


def test_attention_sees_every_position_with_one_head():
    x = jax.random.normal(jax.random.key(0), (1, 2, 3, 32))
    module = AttentionBlock()
    params = module.init(jax.random.key(1), x)["params"]
    normed = (x - x.mean((1, 2))) / np.sqrt(x.var((1, 2)) + 1e-6)  # 32 groups of one channel
    flat = normed.reshape(6, 32)
    query, key, value = (flat @ params[n]["kernel"][0, 0] for n in ("q", "k", "v"))
    weights = jax.nn.softmax(query @ key.T / np.sqrt(32), axis=-1)
    expected = x + ((weights @ value) @ params["proj_out"]["kernel"][0, 0]).reshape(x.shape)
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, atol=1e-4)
