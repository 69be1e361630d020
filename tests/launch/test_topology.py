import pytest

from launch.topology import FLAT, GENERATIONS, parse
from ugf_jax.errors import InputError
from ugf_jax.planning.topology import parse_topology


@pytest.mark.parametrize(
    ("text", "chips", "hosts", "devices"),
    [  # as Google's pages have them
        ("v4:2x2x1", 4, 1, 4),
        ("v4:8x4x4", 128, 32, 128),
        ("v5e:1x1", 1, 1, 1),
        ("v5e:2x4", 8, 1, 8),
        ("v5e:4x4", 16, 4, 16),
        ("v5e:16x16", 256, 64, 256),
        ("v5p:2x2x1", 4, 1, 4),
        ("v5p:8x8x8", 512, 128, 512),
        ("v5p:16x16x24", 6144, 1536, 6144),
        ("v6e:16x16", 256, 64, 256),
        ("tpu7x:4x4x4", 64, 16, 128),
    ],
)
def test_chips_hosts_and_devices(text, chips, hosts, devices):
    piece = parse(text)
    assert str(piece) == text
    assert (piece.chips, piece.hosts, piece.devices) == (chips, hosts, devices)
    assert piece.hosts * piece.chips_per_host == piece.chips
    assert piece.chips_per_host in (1, 4, 8)


@pytest.mark.parametrize(
    ("text", "name"),
    [("v5e:16x16", "v5litepod-256"), ("v6e:4x4", "v6e-16"), ("v5p:8x8x8", "v5p-1024"), ("v4:2x2x2", "v4-16")],
)
def test_names_of_the_cloud_tpu_api(text, name):
    assert parse(text).accelerator_type == name


def test_a_number_of_chips_says_which_slice_in_a_plane():
    sizes = [parse(f"v5e:{a}x{b}").chips for a, b in FLAT]
    assert len(set(sizes)) == len(sizes)


@pytest.mark.parametrize(
    "bad",
    [
        *("", "v5p", "v5p:", "8x8x8", "v3:4x4", "V5P:8x8x8", "v5p:8x8", "v5p:8x8x8x8", "v5p:8x8x6", "v5p:16x8x8", "v5p:0x4x4"),
        *("v5p:16x16x28", "v5p:-4x4x4", "v5p:４x4x4", "v5e:16x32", "v5e:3x3", "v5e:4x2", "v5e:2x2x1", "v5p:1x1x1", "v4:2x4x2"),
        *("v4:16x16x20", "v6e:8X8", "v6e:8x8 ", "tpu7x:2x2"),
    ],
)
def test_slices_that_do_not_exist(bad):
    with pytest.raises(InputError, match="--topology is"):
        parse(bad)


def test_the_message_says_which_there_are():
    with pytest.raises(InputError, match=r"1x1, 2x2, 2x4.*16x16"):
        parse("v6e:5x5")
    with pytest.raises(InputError, match=r"2x2x1, .* multiples of 4, each at least as large as the one before, at most 6,144"):
        parse("v5p:3x3x3")
    with pytest.raises(InputError, match=", ".join(GENERATIONS).replace(", ", " or ")):
        parse("v9:1")


@pytest.mark.parametrize("text", ["v4:8x4x4", "v5e:2x4", "v5e:16x16", "v5p:8x8x8", "v6e:16x16", "tpu7x:4x4x4"])
def test_what_is_launched_is_what_was_planned(text):
    ours, planned = parse(text), parse_topology(text)
    assert ours.devices == planned.devices
    assert ours.hosts == planned.hosts
    assert ours.generation.most * ours.generation.devices == planned.chip.pod or planned.chip.pod == 0
