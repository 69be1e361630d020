"""Logical axes of parameters by path; `sharding` maps them to the mesh. Rows match the end of a path, each path exactly one.

`embed` is the width of the residual stream, `heads` the features of all heads together, `mlp` the hidden features, `codes` the
entries of a codebook. Layers are scanned, so parameters of blocks have a leading layer axis, which is never split.

What adds to the residual stream is split over `embed`'s axis too along what it reads, not along its last dimension: there the
compiler for TPU sums gradients whole on every device and then cuts them, at twice the traffic of a reduce-scatter.
"""

from ugf_jax.training.sharding import ParameterAxes

BLOCKS: ParameterAxes = (
    (r"attention/(query|key|value)/kernel", (None, "embed", "heads")),
    (r"attention/output/kernel", (None, ("heads", "embed"), None)),
    (r"mlp/(gate|up)/kernel", (None, "embed", "mlp")),
    (r"mlp/down/kernel", (None, ("mlp", "embed"), None)),
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

# State of learned codebooks (VQ, alone or as parts of a product, and SimVQ), and SimVQ's map of code features.
CODEBOOKS: ParameterAxes = (
    (r"(codebook|codebook/part_\d+|quantize)/(embedding|total)", ("codes", None)),
    (r"(codebook|codebook/part_\d+|quantize)/count", ("codes",)),
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

# Groups of the fusion transformer's blocks are scanned, and so are the blocks of its memory encoder.
FUSION: ParameterAxes = (
    *BLOCKS,
    (r"attention/(query|key|value)/bias", (None, "heads")),
    (r"block_\d+/attention/output/bias", (None, None)),
    (r"block_\d+/mlp/(gate|up)/bias", (None, "mlp")),
    (r"block_\d+/mlp/down/bias", (None, None)),
    (r"(query_norm|key_norm)/scale", (None, None)),
    (r"(query_norm|key_norm)/head_(scale|bias)", (None, "heads", None)),
    (r"embed/embedding", ("vocabulary", "embed")),
    (r"code_parts", (None, "embed")),
    (r"(cell_place|prompt)/kernel", (None, None)),
    (r"head", ("embed", "vocabulary")),
    (r"(embed_image|embed_text)/kernel", ("embed", None)),
    (r"contrast", (None,)),
    (r"gate", (None,)),
    (r"cross_norm/scale", (None, None)),
    (r"cross/(query|key|value)/kernel", (None, "embed", "heads")),
    (r"cross/place/kernel", (None, None, "heads")),
    (r"cross/output/kernel", (None, ("heads", "embed"), None)),
    (r"cross/null_(key|value)", (None, None, None)),
    (r"memory/embed/table", ("codes", "embed")),
    (r"memory/embed/values/kernel", (None, None)),
    (r"memory/embed/values/bias", (None,)),
    (r"memory/place/kernel", (None, None)),
    (r"memory/level", (None, None)),
    (r"blocks/(query|key|value)/kernel", (None, "embed", "heads")),
    (r"blocks/output/kernel", (None, ("heads", "embed"), None)),
)

# A fusion transformer with a scalar head.
REWARD: ParameterAxes = (*FUSION, (r"score", ("embed",)), (r"similarity|description|drawing", ()))

# The detail model; its state holds a whole tokenizer.
DETAIL: ParameterAxes = (
    *TOKENIZER,
    (r"embed_(codes|masked|state|level)", (None, "embed")),
    (r"embed_share/kernel", (None, "embed")),
    (r"predict/kernel", ("embed", None)),
    (r"predict/bias", (None,)),
    (r"links", (None, None, None)),
)

# What a vision tower and its adapter have beyond a fusion transformer; a table for both is `(*FUSION, *VISION)`.
VISION: ParameterAxes = (
    (r"embed/projection/kernel", ("embed", None)),
    (r"embed/projection/bias", (None,)),
    (r"positions", (None, None)),
    (r"blocks/attention/output/bias", (None, None)),
    (r"blocks/mlp/up/bias", (None, "mlp")),
    (r"blocks/mlp/down/bias", (None, None)),
    (r"(attention_norm|mlp_norm)/bias", (None, None)),
    (r"norm/bias", (None,)),
    (r"adapter/first/kernel", ("embed", "mlp")),
    (r"adapter/second/kernel", (("mlp", "embed"), None)),
    (r"adapter/(first|second)/bias", (None,)),
)
