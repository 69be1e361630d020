"""UGF-JAX: train one model that understands and generates images and text at any resolution.

from ugf_jax import UnifiedModel
model = UnifiedModel.load()
image, = model.generate_image("two red circles above a blue square", size=(256, 384))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugf_jax.generation.unified_model import UnifiedModel

__version__ = "0.1.0"
__all__ = ["UnifiedModel"]


def __getattr__(name: str) -> Any:
    """Imports the model when it is first asked for: it brings JAX, which takes seconds."""
    if name == "UnifiedModel":
        from ugf_jax.generation.unified_model import UnifiedModel

        return UnifiedModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
