"""Names of topologies, what they hold, and what is refused."""

import re

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.planning.chips import KINDS
from ugf_jax.planning.network import links, wraps
from ugf_jax.planning.topology import parse_topology


def test_a_topology_counts_devices_and_hosts():
    assert (parse_topology("v5p:8x8x8").devices, parse_topology("v5p:8x8x8").hosts) == (512, 128)
    slices = parse_topology("v5e:16x16", slices=2)
    assert (slices.devices, slices.slice_devices, str(slices)) == (512, 256, "2 x v5e:16x16")
    assert parse_topology("tpu7x:4x4x4").devices == 128  # two devices a chip
    assert (parse_topology("h100:16x8").hosts, parse_topology("h100:6x4").hosts) == (16, 6)
    assert [parse_topology(f"v5e:{shape}").hosts for shape in ("1x1", "2x4", "4x4")] == [1, 1, 4]


@pytest.mark.parametrize(
    ("text", "slices", "message"),
    [
        ("v5p", 1, "want KIND:SHAPE"),
        ("v9:4x4", 1, "'v9' is no kind of device; want one of v4, v5e"),
        ("v5e:4x4x4", 1, "v5e has 2 axes"),
        ("v5p:4x4", 1, "v5p has 3 axes"),
        ("v5e:32x16", 1, "512 chips; a slice of v5e has at most 256"),
        ("v5e:3x5", 1, "15 devices are no whole hosts of 4"),
        ("v5p:2x3x3", 1, "18 devices are no whole hosts of 4"),
        ("v5e:4x4", 0, "--slices is 0"),
        ("h100:4x8", 2, "slices are those of TPU"),
    ],
)
def test_what_is_no_topology_is_said(text, slices, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_topology(text, slices)


def test_figures_of_devices_are_plausible():
    for chip in KINDS.values():
        assert 10 < chip.flops / chip.memory_bandwidth < 1000  # operations a byte
        assert chip.memory_bandwidth > chip.link > chip.network
        assert not chip.tpu or 0.9e9 < chip.clock < 2.5e9


def test_a_whole_ring_sends_both_ways_and_a_part_of_one_does_not():
    pod, cube = parse_topology("v5e:16x16"), parse_topology("v5p:8x8x8")
    row = np.array([[x, 3] for x in range(16)])
    assert links(row, pod) == 2
    assert links(row[:8], pod) == 1
    assert links(np.array([[x, y] for x in range(16) for y in range(2)]), pod) == 3
    assert links(np.array([[x, 0, 0] for x in range(8)]), cube) == 2
    assert wraps(cube, 4)
    assert not wraps(parse_topology("v5e:4x4"), 4)
