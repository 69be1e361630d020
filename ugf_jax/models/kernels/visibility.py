"""Who sees whom: the one rule that every implementation of attention applies, and how lengths are padded under it."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

EVERY = -1  # segment of a key that queries of all segments see
LIMITS = np.iinfo(np.int32)


@flax.struct.dataclass
class Visibility:
    """A query sees a key iff `(key segment == query segment or key segment == EVERY) and query position >= key release`.

    One integer per key, its release, says from where on in its document it is seen: in self-attention its own position,
    in cross-attention the position at which its image becomes context. So no `[queries, keys]` mask needs to exist.

    Attributes (int32):
      query_segments: `[batch, queries]`, the document of each query within its packed row.
      query_positions: `[batch, queries]`, position within the document.
      key_segments: `[batch, keys]`.
      key_releases: `[batch, keys]`, first position of the document that sees the key.
    """

    query_segments: jax.Array
    query_positions: jax.Array
    key_segments: jax.Array
    key_releases: jax.Array

    @classmethod
    def causal(cls, segments: jax.Array, positions: jax.Array) -> "Visibility":
        """Self-attention in packed rows: `segments` and `positions`, both `[batch, tokens]`."""
        return cls(segments, positions, segments, positions)

    def sees(self, ordered: bool = False) -> jax.Array:
        """The rule as a dense bool `[batch, queries, keys]`; `ordered` also hides keys of a later index."""
        seen = may_see(*(x[:, :, None] for x in self.queries), *(x[:, None, :] for x in self.keys))
        if ordered:
            seen &= jnp.tri(seen.shape[1], seen.shape[2], dtype=bool)
        return seen

    @property
    def queries(self) -> tuple[jax.Array, jax.Array]:
        """Segments and positions of the queries."""
        return self.query_segments, self.query_positions

    @property
    def keys(self) -> tuple[jax.Array, jax.Array]:
        """Segments and releases of the keys."""
        return self.key_segments, self.key_releases

    def pad(self, queries: int, keys: int) -> "Visibility":
        """Appends queries that see nothing and keys that nobody sees."""

        def pad(x: jax.Array, count: int, value: int) -> jax.Array:
            return jnp.pad(x, ((0, 0), (0, count)), constant_values=value)

        return Visibility(
            pad(self.query_segments, queries, 0),
            pad(self.query_positions, queries, LIMITS.min),
            pad(self.key_segments, keys, 0),
            pad(self.key_releases, keys, LIMITS.max),
        )


def may_see(segments: jax.Array, positions: jax.Array, key_segments: jax.Array, key_releases: jax.Array) -> jax.Array:
    """The rule, elementwise with broadcasting."""
    return ((key_segments == segments) | (key_segments == EVERY)) & (positions >= key_releases)
