"""Where activations lie on the mesh: rows of a batch over the data axes, everything else whole.

Without this the compiler may spread activations like the parameters they come from, and keep many copies of them.
"""

import jax
from jax.sharding import PartitionSpec as P

ROWS = ("data", "fsdp")
COLUMNS = "fsdp"  # what tables of embeddings are split over, along their features


def constrain_rows(x: jax.Array) -> jax.Array:
    """`x` with its first axis split over the data axes of the mesh in force; unchanged where there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not set(ROWS) <= set(mesh.axis_names):
        return x
    return jax.lax.with_sharding_constraint(x, P(ROWS))


def constrain_columns(x: jax.Array) -> jax.Array:
    """What was looked up in a table, `[rows, positions, features]`, split like the rows of the table; unchanged without a mesh.

    Then each device looks up, and in the backward pass adds up, its own features of all rows. Else the compiler would add up
    the whole table's gradient on every device and all-reduce it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not set(ROWS) <= set(mesh.axis_names):
        return x
    rest = tuple(axis for axis in ROWS if axis != COLUMNS)
    spread = x.shape[-1] % mesh.shape[COLUMNS] == 0
    return jax.lax.with_sharding_constraint(x, P(rest, None, COLUMNS)) if spread else x
