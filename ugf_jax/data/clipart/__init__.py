"""How the embedded set `clipart` was made from the Open Clip Art Library; `build.py` makes it again.

The set itself is in `ugf_jax/assets/clipart`, with a README that says where the drawings come from.
`ugf_jax.data.sources.embedded` reads it.
"""
