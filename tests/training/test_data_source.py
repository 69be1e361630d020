"""What the trainer expects of data."""

import inspect

from ugf_jax.data.loader import Batch, Loader
from ugf_jax.training.data_source import BatchLoader, HostBatch


def members(protocol):
    return {n for n in vars(protocol) if not n.startswith("_")} | set(protocol.__annotations__)


def test_the_image_loader_has_what_the_trainer_asks_for():
    source = inspect.getsource(Loader.__init__)
    assert all(hasattr(Loader, name) or f"self.{name} = " in source for name in members(BatchLoader))
    assert members(HostBatch) <= set(Batch.__dataclass_fields__)
