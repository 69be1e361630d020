"""Master codes that share parts of their embeddings.

A code of several levels is a tuple, and codes that differ in one level paint almost the same. A table of codes learns that of
each anew; the sum of a part for each level learns it once, both where codes are read and, with tied embeddings, where they are
predicted. What a code has besides is either a row of its own, which must be seen to be learned, or the product of other
parts: then what was learned of a mask in one colour holds in a colour in which it never occurred, and which two levels go
together can be said all the same. The table is all that inference needs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.digits import Digits

ROWS = ("own", "product")  # what a code has besides the sum of its parts


def parts_count(levels: tuple[int, ...], rows: str) -> int:
    """How many parts there are, for codes of these levels."""
    return sum(levels) * (2 if rows == "product" else 1)


def initial_parts(key: jax.Array, levels: tuple[int, ...], rows: str, width: int, scale: float) -> jax.Array:
    """Parts `[parts, width]` whose sums, and products, have about this scale."""
    parts = scale * jax.random.normal(key, (parts_count(levels, rows), width), jnp.float32)
    return parts.at[sum(levels) :].multiply(scale ** (1 / len(levels) - 1))


def shared_table(table: jax.Array, parts: jax.Array, levels: tuple[int, ...], rows: str, first_code: int) -> jax.Array:
    """The embedding table in force, `[vocabulary, width]`.

    Args:
      table: what each id has of its own, `[vocabulary, width]`; with products, codes have nothing of it.
      parts: what codes have in common, `[sum of levels, width]`, then with products as many factors.
      levels: of the quantizer.
      rows: one of `ROWS`.
      first_code: id of the first master code.
    """
    digits = np.unravel_index(np.arange(int(np.prod(levels))), levels, order="F")  # the first level counts ones, as in `FSQ`
    places = np.stack(digits, axis=1) + np.array(Digits(levels).offsets)
    shared = jnp.sum(parts[places], axis=1)
    codes = slice(first_code, first_code + len(places))
    if rows == "own":
        return table.at[codes].add(shared)
    return table.at[codes].set(shared + jnp.prod(parts[sum(levels) + places], axis=1))
