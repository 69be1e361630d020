import shutil

import jax
import jax.numpy as jnp
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.checkpoints import Checkpointer, read_extras, restore_params, saved_arrays, steps

ABSTRACT = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}


@pytest.fixture
def folder(tmp_path):
    with Checkpointer(tmp_path / "checkpoints") as checkpointer:
        for step in (1, 2, 3):
            checkpointer.save(step, {"w": jnp.full(3, float(step))}, {"step": step})
    return tmp_path / "checkpoints"


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_only_whole_steps_count(folder):
    for other in ("4.orbax-checkpoint-tmp", "damaged-5", ".deleted", "notes", "6.bak"):
        (folder / other).mkdir()
    assert steps(folder) == [1, 2, 3]
    assert steps(folder / "nowhere") == []


def test_a_damaged_step_asked_for_by_number_is_an_error(folder):
    (folder / "2" / "extras" / "extras.json").write_text("{")
    for read in (lambda: restore_params(folder, ABSTRACT, 2), lambda: read_extras(folder, 2), lambda: saved_arrays(folder, 2)):
        with pytest.raises(InputError, match=r"2 is damaged.*ask for another step of 1, 2, 3"):
            read()
    with Checkpointer(folder) as checkpointer, pytest.raises(InputError, match="2 is damaged"):
        checkpointer.restore(ABSTRACT, 2)
    assert names(folder) == ["1", "2", "3"]


def test_an_evaluator_reads_the_step_before_and_changes_nothing(folder, capsys):
    shutil.rmtree(folder / "3" / "arrays")
    (folder / "4.orbax-checkpoint-tmp").mkdir()  # training goes on in the folder
    before = names(folder)
    step, state = restore_params(folder, ABSTRACT)
    assert (step, state["w"].tolist()) == (2, [2.0] * 3)
    assert names(folder) == before
    assert "3 is damaged" in capsys.readouterr().err


def test_all_damaged_is_an_error_that_lists_them(folder, capsys):
    for step in (1, 2, 3):
        shutil.rmtree(folder / str(step) / "arrays")
    with Checkpointer(folder) as checkpointer, pytest.raises(InputError, match=r"every checkpoint is damaged \(3, 2, 1\)"):
        checkpointer.restore(ABSTRACT)
    assert names(folder) == ["damaged-1", "damaged-2", "damaged-3"]


def test_evidence_is_never_overwritten(folder, capsys):
    (folder / "damaged-3").mkdir()
    shutil.rmtree(folder / "3" / "arrays")
    with Checkpointer(folder) as checkpointer:
        assert checkpointer.restore(ABSTRACT).step == 2
    assert names(folder) == ["1", "2", "damaged-3", "damaged-3-2"]
