"""What the compiler for TPU is told beyond its defaults: to run collectives beside arithmetic."""

from jax.sharding import Mesh

# Weights are gathered while the layer before computes. On v5e that is the default; elsewhere a step waits without it.
_OVERLAP: dict[str, str | bool] = {
    "xla_enable_async_all_gather": "true",
    "xla_tpu_enable_async_collective_fusion": "true",
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "true",
    "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
    "xla_tpu_overlap_compute_collective_tc": "true",
}


def compiler_options(mesh: Mesh) -> dict[str, str | bool] | None:
    """Options of `jax.stages.Lowered.compile` for training steps on the mesh's devices."""
    return _OVERLAP if mesh.devices.flat[0].platform == "tpu" else None
