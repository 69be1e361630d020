import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from ugf_jax.training.digests import digest, digests, host_digest, named_leaves

DTYPES = ["bool", "int4", "int8", "uint8", "int16", "uint32", "int32", "float16", "bfloat16", "float32", "float8_e4m3fn"]


def random_array(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype == "int4":
        return rng.integers(-8, 8, shape).astype(ml_dtypes.int4)
    dtype = jnp.dtype(dtype)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


def mesh():
    return jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)


def by_definition(words):
    """The two sums in Python integers."""
    total = [0, 0]
    for i, word in enumerate(words):
        for k, constant in enumerate((0x9E3779B1, 0xC2B2AE3D)):
            x = int(word) ^ (i * constant % 2**32)
            x = (x ^ (x >> 16)) * 0x85EBCA6B % 2**32
            x = (x ^ (x >> 13)) * 0xC2B2AE35 % 2**32
            total[k] = (total[k] + x) % 2**32
    return total


@pytest.mark.parametrize("dtype", DTYPES)
def test_device_and_host_compute_the_definition(dtype):
    array = random_array(dtype, (3, 5, 4))
    bits = array.astype(np.int8) if dtype == "int4" else array
    words = bits.ravel().view({1: np.uint8, 2: np.uint16, 4: np.uint32}[bits.dtype.itemsize])
    expected = by_definition(words)
    assert jax.jit(digest)(jnp.asarray(array)).tolist() == expected
    assert host_digest(jnp.asarray(array)).tolist() == expected


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (700_001,), (3, 300_000), (1000, 1, 300)])
def test_device_and_host_agree_at_any_shape(shape):
    array = jnp.asarray(random_array("uint32", shape))
    assert jax.jit(digest)(array).tolist() == host_digest(array).tolist()


def test_shardings_do_not_matter_and_nothing_is_gathered():
    array = random_array("float32", (8, 12, 6))
    expected = digests({"x": jnp.asarray(array)})
    for spec in ((), ("data",), ("fsdp", "tensor"), (("data", "fsdp", "tensor"),), (None, "fsdp", "data")):
        sharded = jax.device_put(array, jax.NamedSharding(mesh(), jax.P(*spec)))
        assert digests({"x": sharded}) == expected
        compiled = jax.jit(digest).lower(sharded).compile()
        assert compiled(sharded).tolist() == host_digest(sharded).tolist()
        assert "all-gather" not in compiled.as_text()


def test_every_single_bit_changes_both_sums():
    array = random_array("uint32", (11,))
    flipped = array ^ (np.uint32(1) << np.arange(32, dtype=np.uint32))[:, None, None] * np.eye(11, dtype=np.uint32)
    sums = np.array([host_digest(jnp.asarray(a)) for a in (array, *flipped.reshape(-1, 11))])
    assert len(sums) == 1 + 11 * 32
    assert (sums[1:] != sums[0]).all()
    assert len(np.unique(sums, axis=0)) == len(sums)


@pytest.mark.parametrize("bit", [0, 15, 31])
def test_the_same_bit_of_many_words_counts(bit):
    array, mask = random_array("uint32", (64,)), np.uint32(1 << bit)
    flipped = [np.where(np.arange(64) < n, array ^ mask, array) for n in range(65)]
    assert len({tuple(host_digest(jnp.asarray(a)).tolist()) for a in flipped}) == 65


def test_moved_values_are_seen():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    variants = (array, array[::-1], array[:, ::-1], np.roll(array, 1), -array)
    assert len({digests({"x": jnp.asarray(a)})["x"] for a in variants}) == len(variants)
    zeros = np.zeros((3, 4), np.float32)
    assert digests({"x": jnp.asarray(zeros)}) != digests({"x": jnp.asarray(-zeros)})  # -0.0 has other bits


def test_keys_are_their_data():
    keys = jax.random.split(jax.random.key(1), 5)
    assert digests({"k": keys}) == digests({"k": jax.random.key_data(keys)})
    assert digests({"k": keys}) != digests({"k": keys[::-1]})


def test_64_bit_words():
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        array = jnp.asarray(np.random.default_rng(0).standard_normal((3, 5)))
        assert array.dtype == jnp.float64
        assert jax.jit(digest)(array).tolist() == host_digest(array).tolist()


def test_names_are_paths_and_must_differ():
    assert list(named_leaves({"a": {"b": [1, 2]}, "c": 3})) == ["a/b/0", "a/b/1", "c"]
    with pytest.raises(ValueError, match="two leaves are named a/b"):
        named_leaves({"a": {"b": 1}, "a/b": 2})
