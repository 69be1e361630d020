"""Logical axes of parameters by path; `sharding` maps them to the mesh. Rows match the end of a path, each path exactly one.

`embed` is the width of the residual stream, `heads` the features of all heads together, `mlp` the hidden features. Layers are
scanned, so parameters of blocks have a leading layer axis, which is never split.
"""

from ugf_jax.training.sharding import ParameterAxes

BLOCKS: ParameterAxes = (
    (r"attention/(query|key|value)/kernel", (None, "embed", "heads")),
    (r"attention/output/kernel", (None, "heads", "embed")),
    (r"mlp/(gate|up)/kernel", (None, "embed", "mlp")),
    (r"mlp/down/kernel", (None, "mlp", "embed")),
    (r"(attention_norm|mlp_norm)/scale", (None, None)),
    (r"norm/scale", (None,)),
)

TOKENIZER: ParameterAxes = (
    *BLOCKS,
    (r"(embed|embed_up)/projection/kernel", (None, "embed")),
    (r"(embed|embed_up)/projection/bias", (None,)),
    (r"(encoder_level|decoder_level|skipped)", (None, None)),
    (r"head/kernel", (None, "embed", None)),
    (r"head/bias", (None, None)),
    (r"quantizer/project_in/kernel", ("embed", None)),
    (r"quantizer/project_out/kernel", (None, "embed")),
    (r"quantizer/project_(in|out)/bias", (None,)),
)
