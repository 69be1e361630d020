"""Where activations lie on the mesh: rows of a batch over the data axes, everything else whole.

Without this the compiler may spread activations like the parameters they come from, and keep many copies of them.
"""

import jax
from jax.sharding import PartitionSpec as P

ROWS = ("data", "fsdp")


def constrain_rows(x: jax.Array) -> jax.Array:
    """`x` with its first axis split over the data axes of the mesh in force; unchanged where there is none."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not set(ROWS) <= set(mesh.axis_names):
        return x
    return jax.lax.with_sharding_constraint(x, P(ROWS))
