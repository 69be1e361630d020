"""UniToken (Jiao et al. 2025) as it was published: its weights, its tokens, its solver; and what it can do here beyond that.

    from ugf_jax.interop.unitoken import Solver

    solver = Solver("UniToken-AnyRes-StageII", precision="bf16", target_size=512)
    text, images = solver.generate_img([], [["Generate an image of a fox", None]], 1536, 1.0)

`UniToken` draws and answers batches, at any size; `add_memory` lets it look into auxiliary memory.
"""

from ugf_jax.interop.unitoken.memory import add_memory
from ugf_jax.interop.unitoken.model import UniToken
from ugf_jax.interop.unitoken.solver import Solver

__all__ = ["Solver", "UniToken", "add_memory"]
