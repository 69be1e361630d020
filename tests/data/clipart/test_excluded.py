"""The list of what is left out names it and nothing else."""

from ugf_jax.data.clipart.excluded import PATTERNS, is_excluded


def test_names_are_matched_in_any_case_and_folder():
    assert is_excluded("tools/weapons/sword_01")
    assert is_excluded("unsorted/Bullet_Hole_3")
    assert is_excluded("people/silhouette_female_1")
    assert not is_excluded("tools/hammer_01")
    assert not is_excluded("people/woman_chemist_01")


def test_no_pattern_takes_everything():
    assert all(len(pattern.strip("*/")) >= 3 for pattern in PATTERNS)
    assert len(set(PATTERNS)) == len(PATTERNS)
