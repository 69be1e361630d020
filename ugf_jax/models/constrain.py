"""Where activations lie on the mesh: rows of a batch over the data axes, everything else whole.

Without this the compiler may spread activations like the parameters they come from, and keep many copies of them.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

ROWS = ("data", "fsdp")
COLUMNS = "fsdp"  # what tables of embeddings are split over, along their features


def constrain_rows(x: jax.Array) -> jax.Array:
    """`x` with its first axis split over the data axes of the mesh in force; unchanged where there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not set(ROWS) <= set(mesh.axis_names):
        return x
    return jax.lax.with_sharding_constraint(x, P(ROWS))


def look_up(table: jax.Array, ids: jax.Array) -> jax.Array:
    """Rows of a table of embeddings: `table[ids]`, with the table split over `fsdp` along its features; groups are added up.

    Each device looks up, and in the backward pass adds up, its own features for all rows of its group; then features are
    exchanged for rows. Left to the compiler, every device would gather the whole table, and all-reduce its whole gradient.

    Args:
      table: `[entries, features]`.
      ids: int32 `[rows, positions]` or `[rows, positions, groups]`, below `entries`.

    Returns:
      `[rows, positions, features]`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    free = set(mesh.axis_names) - set(mesh.manual_axes)
    if not set(ROWS) <= free or mesh.shape[COLUMNS] == 1:
        return _found(table, ids)
    if ids.shape[0] % (mesh.shape[ROWS[0]] * mesh.shape[ROWS[1]]) or table.shape[1] % mesh.shape[COLUMNS]:
        return _found(table, ids)

    def local(table: jax.Array, ids: jax.Array) -> jax.Array:
        found = _found(table, jax.lax.all_gather(ids, COLUMNS, tiled=True))
        return jax.lax.all_to_all(found, COLUMNS, split_axis=0, concat_axis=2, tiled=True)

    in_specs = (P(None, COLUMNS), P(ROWS))
    return jax.shard_map(local, in_specs=in_specs, out_specs=P(ROWS), axis_names=set(ROWS))(table, ids)


def _found(table: jax.Array, ids: jax.Array) -> jax.Array:
    return jnp.sum(table[ids], axis=-2) if ids.ndim == 3 else table[ids]
