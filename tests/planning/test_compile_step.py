"""A program that does not fit is told from one that does not compile."""

from ugf_jax.planning.compile_step import bytes_needed


def test_refusals_for_want_of_memory_say_how_much_is_needed():
    late = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded by 4.75G."
    early = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (34.82G) exceeds "
        "available HBM (15.75G)."
    )
    assert bytes_needed(late) == 20.5 * 2**30
    assert bytes_needed(early) == 34.82 * 2**30


def test_other_errors_are_none_of_them():
    assert bytes_needed("INVALID_ARGUMENT: Mosaic failed to compile TPU kernel: 15.75G") is None
