"""Logical axes of parameters by path; `sharding` maps them to the mesh. Rows match the end of a path, each path exactly one.

`embed` is the width of the residual stream, `heads` the features of all heads together, `mlp` the hidden features, `codes` the
entries of a codebook. Layers are scanned, so parameters of blocks have a leading layer axis, which is never split.
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

# Kernels [height, width, in, out]: channels in lie like the residual stream, channels out like hidden features.
CONVOLUTIONS: ParameterAxes = (
    (
        r"(conv|conv\d|conv_\w+|quant_conv|post_quant_conv|nin_shortcut|q|k|v|proj_out|logits)/kernel",
        (None, None, "embed", "mlp"),
    ),
    (r"(conv|conv\d|conv_\w+|quant_conv|post_quant_conv|nin_shortcut|q|k|v|proj_out|logits)/bias", (None,)),
    (r"(norm\d|norm_\w+)/scale", (None,)),
    (r"(norm|norm\d|norm_\w+)/bias", (None,)),
)

# State of learned codebooks (VQ, SimVQ), and SimVQ's map of code features.
CODEBOOKS: ParameterAxes = (
    (r"(codebook|quantize)/(embedding|total)", ("codes", None)),
    (r"(codebook|quantize)/count", ("codes",)),
    (r"(codebook|quantize)/kernel", (None, None)),
)

TOKENIZER: ParameterAxes = (
    *BLOCKS,
    *CONVOLUTIONS,
    *CODEBOOKS,
    (r"(embed|embed_up)/projection/kernel", (None, "embed")),
    (r"(embed|embed_up)/projection/bias", (None,)),
    (r"(encoder_level|decoder_level|skipped)", (None, None)),
    (r"head/kernel", ("embed", None)),
    (r"head/bias", (None, None)),
    (r"quantizer/project_in/kernel", ("embed", None)),
    (r"quantizer/project_out/kernel", (None, "embed")),
    (r"quantizer/project_(in|out)/bias", (None,)),
)
