"""The fusion transformer: text and master tokens in one causal sequence, looking one way into auxiliary memory.

Without memory it is a plain decoder of the Llama family; UniToken is the configuration without memory, with continuous tokens
in the sequence.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, one_of, setting
from ugf_jax.errors import InputError
from ugf_jax.models import prompt_mean, rope
from ugf_jax.models.blocks import RMSNorm, hidden_size
from ugf_jax.models.constrain import constrain_rows, look_up
from ugf_jax.models.fusion_block import BlockShape, FusionGroup, Memory, memory_visibility
from ugf_jax.models.kernels.recompute import SAVED
from ugf_jax.models.linear import Linear, matmul
from ugf_jax.models.memory import MemoryEncoder, MemorySettings
from ugf_jax.models.places import cell_places, place_features
from ugf_jax.models.rope import RopeScaling
from ugf_jax.models.shared_codes import ROWS, initial_parts, shared_table
from ugf_jax.models.visible import IMPLEMENTATIONS, Visibility
from ugf_jax.models.vision import Adapter, VisionSettings, VisionTower

# What recomputed blocks keep: the results of attention, of all products of activations with weights, or of both.
_ATTENTION = jax.checkpoint_policies.save_only_these_names(SAVED)
_PRODUCTS = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
KEPT = {
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "attention": _ATTENTION,
    "products": _PRODUCTS,
    "both": jax.checkpoint_policies.save_from_both_policies(_ATTENTION, _PRODUCTS),
}
BELOW_ONE = ("from 0 to below 1", lambda x: 0 <= x < 1)


@dataclasses.dataclass(frozen=True)
class FusionSettings:
    """Everything that decides the shape and the computation of the fusion transformer, beside its vocabulary."""

    width: int = setting(1024, POSITIVE, "features of a token")
    depth: int = setting(16, POSITIVE, "blocks; a multiple of cross_every")
    heads: int = setting(16, POSITIVE, "attention heads")
    kv_heads: int = setting(0, NOT_NEGATIVE, "heads of keys and values, each shared by several; 0: as many as heads")
    head_features: int = setting(0, NOT_NEGATIVE, "features of a head; 0: width / heads")
    hidden: int = setting(0, NOT_NEGATIVE, "features inside the SwiGLU; 0: about 8/3 of the width")
    qk_norm: str = setting("rms", one_of("none", "rms", "layer"), "none: Llama; rms: Qwen 3; layer: Chameleon")
    query_bias: bool = setting(False, doc="biases of query, key and value (Qwen 2.5)")
    output_bias: bool = setting(False, doc="a bias of what attention adds")
    mlp_bias: bool = setting(False, doc="biases of the feed-forward layers")
    rope_base: float = setting(10_000.0, POSITIVE, "of the rotary positions")
    rope_scaling: RopeScaling | None = setting(None, doc="of the rotary positions (Llama 3.1); None: none")
    epsilon: float = setting(1e-5, POSITIVE, "of the norms")
    tied: bool = setting(False, doc="the embedding table is the output head too")
    code_levels: tuple[int, ...] = setting(
        (), ("2 or more", lambda x: x >= 2), "levels of the codes: they share parts; empty: none"
    )
    code_rows: str = setting("own", one_of(*ROWS), "what codes that share parts have besides: see `shared_codes`")
    cell_places: bool = setting(False, doc="a master token's embedding tells its cell, so that nobody has to count tokens")
    prompt_mean: bool = setting(False, doc="a master token's embedding tells the mean of the words before; see `prompt_mean`")
    dropout: float = setting(0.0, BELOW_ONE, "of what each layer adds")
    cross_every: int = setting(4, NOT_NEGATIVE, "blocks between two cross-attentions into memory; 0: no memory")
    gate: float = setting(0.1, POSITIVE, "where the gates of the cross-attentions start")
    grid: int = setting(16, POSITIVE, "master codes along a side of an image")
    memory: MemorySettings = setting(MemorySettings())
    vision: VisionSettings | None = setting(None, doc="tower whose features stand in the sequence; None: none")
    embedding: int = setting(256, NOT_NEGATIVE, "features of a contrastive embedding; 0: none are made")
    attention: str = setting("auto", one_of(*IMPLEMENTATIONS), "implementation of attention")
    dtype: str = setting("float32", one_of("float32", "bfloat16"), "of the computation; parameters are float32")
    remat: bool = setting(False, doc="recompute blocks in the backward pass: less memory, a third more time")
    remat_keep: str = setting("nothing", one_of(*KEPT), "what blocks that are recomputed keep all the same")

    def validate(self, path: str) -> None:
        """Refuses sizes that do not fit together."""
        if self.cross_every and self.depth % self.cross_every:
            raise InputError(f"{path}.depth is {self.depth}; want a multiple of {path}.cross_every, {self.cross_every}")
        if not self.head_features and self.width % (2 * self.heads):
            raise InputError(f"{path}.width is {self.width}; want a multiple of 2 x {path}.heads, {2 * self.heads}")
        if self.code_levels and not self.tied:
            raise InputError(f"{path}.code_levels are shared by reading and predicting codes; want {path}.tied")
        if self.head_features % 2:
            raise InputError(f"{path}.head_features is {self.head_features}; want an even number, or 0")
        if self.kv_heads and self.heads % self.kv_heads:
            raise InputError(f"{path}.heads is {self.heads}; want a multiple of {path}.kv_heads, {self.kv_heads}")

    @property
    def block(self) -> BlockShape:
        """The shape of one block, with what was left at 0 filled in."""
        return BlockShape(
            width=self.width,
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            head_features=self.head_features or self.width // self.heads,
            hidden=self.hidden or hidden_size(self.width),
            qk_norm=self.qk_norm,
            query_bias=self.query_bias,
            output_bias=self.output_bias,
            mlp_bias=self.mlp_bias,
            epsilon=self.epsilon,
            dropout=self.dropout,
            gate=self.gate,
            attention=self.attention,
            dtype=jnp.dtype(self.dtype),
        )


@flax.struct.dataclass
class Tokens:
    """A batch of packed rows, int32 `[batch, positions]` each.

    Attributes:
      ids: of the vocabulary.
      segments: the document of each token within its row, from 1; 0 is padding.
      positions: within the document, from 0.
      cells: master cell (row · grid + column) of a code token, else -1.
    """

    ids: jax.Array
    segments: jax.Array
    positions: jax.Array
    cells: jax.Array

    @classmethod
    def of(cls, batch: Mapping[str, jax.Array]) -> "Tokens":
        """From the arrays of a batch."""
        return cls(batch["tokens"], batch["segments"], batch["positions"], batch["cells"])


@flax.struct.dataclass
class Continuous:
    """Features of a vision tower that stand in the sequence in the place of embeddings.

    Attributes:
      values: `[batch, features, width]`, of all crops of a row, from `FusionTransformer.see`.
      sources: int32 `[batch, positions]`, the number of the feature at each position; -1: the token's embedding is there.
    """

    values: jax.Array
    sources: jax.Array

    def put_into(self, x: jax.Array) -> jax.Array:
        """Embeddings `[batch, positions, width]` with these in their places."""
        chosen = jnp.take_along_axis(self.values.astype(x.dtype), jnp.maximum(self.sources, 0)[..., None], axis=1)
        return jnp.where(self.sources[..., None] >= 0, chosen, x)

    def no_words(self, cells: jax.Array) -> jax.Array:
        """Cells `[batch, positions]` that are not -1 where features stand, whose tokens are not words to be told of."""
        return jnp.where(self.sources >= 0, 0, cells)


class FusionTransformer(nn.Module):
    """Tokens and auxiliary memory to hidden states, logits and contrastive embeddings.

    Parameters of the blocks are stacked over groups of `cross_every` blocks: `layers/block_0/attention/query/kernel` is
    `[groups, width, heads · head_features]`, `layers/gate` `[groups]`.

    Attributes:
      settings: sizes.
      vocabulary: ids there are.
      train: apply dropout (needs the random key `dropout`).
      first_code: id of the first master code; only `settings.code_levels` need it.
    """

    settings: FusionSettings
    vocabulary: int
    train: bool = False
    first_code: int = 0

    def setup(self) -> None:
        s = self.settings
        self.embed = nn.Embed(self.vocabulary, s.width, embedding_init=nn.initializers.normal(0.02))
        if s.code_levels:
            if not self.first_code:
                raise ValueError("code_levels without first_code; want the id of the first master code")
            self.code_parts = self.param("code_parts", initial_parts, s.code_levels, s.code_rows, s.width, 0.02)
        if s.cell_places:
            self.cell_place = Linear(s.width, kernel_init=nn.initializers.zeros)
        if s.prompt_mean:
            self.prompt = Linear(s.width, kernel_init=nn.initializers.zeros)
        self.norm = RMSNorm(s.epsilon, jnp.dtype(s.dtype))
        if not s.tied:
            self.head = self.param("head", nn.initializers.normal(s.width**-0.5), (s.width, self.vocabulary), jnp.float32)
        if s.cross_every:
            self.memory = MemoryEncoder(s.memory, jnp.dtype(s.dtype))
        if s.vision:
            self.vision, self.adapter = VisionTower(s.vision), Adapter(s.width, jnp.dtype(s.dtype))
        if s.embedding:
            self.embed_image, self.embed_text = Linear(s.embedding), Linear(s.embedding)
            self.contrast = self.param("contrast", lambda key: jnp.array([jnp.log(10.0), -10.0], jnp.float32))
        group = nn.remat(FusionGroup, prevent_cse=False, policy=KEPT[s.remat_keep]) if s.remat else FusionGroup
        layers = nn.scan(
            group,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast, nn.broadcast),
            length=s.depth // (s.cross_every or 1),
        )
        self.layers = layers(s.block, s.cross_every or 1, self.train)

    def __call__(self, tokens: Tokens, memory: Memory | None = None, continuous: Continuous | None = None) -> jax.Array:
        """Hidden states `[batch, positions, width]` after the final norm.

        Args:
          tokens: packed rows.
          memory: from `remember`; None where no image has any (the layers then look at their null keys only).
          continuous: from `see`; None where there are no features of a vision tower.
        """
        s = self.settings
        dtype = jnp.dtype(s.dtype)
        place = place_features(cell_places(tokens.cells, s.grid))
        x = words = look_up(self._table(), tokens.ids)
        if s.cell_places:
            x = x + self.cell_place(place)
        if s.prompt_mean:
            told = tokens.cells if continuous is None else continuous.no_words(tokens.cells)
            sums = prompt_mean.running_sums(words, told, tokens.positions)
            x = x + prompt_mean.SHARE * self.prompt(prompt_mean.mean_words(sums, tokens.cells))
        x = x.astype(dtype)
        if continuous is not None:
            x = continuous.put_into(x)
        x = constrain_rows(x)
        angle = rope.angles(tokens.positions, s.block.head_features, s.rope_base, s.rope_scaling)
        causal = Visibility.causal(tokens.segments, tokens.positions)
        cross = None
        if s.cross_every:
            memory = memory if memory is not None else self._nothing(tokens.ids.shape[0])
            cross = place.astype(dtype), memory, memory_visibility(tokens.segments, tokens.positions, memory)
        x, _ = self.layers(x, angle, causal, cross)
        return constrain_rows(self.norm(x))

    def remember(self, batch: Mapping[str, jax.Array]) -> Memory:
        """Auxiliary memory of a batch's `aux_codes`, `aux_places`, `aux_levels`, `aux_segments` and `aux_releases`.

        Nothing of the text or the master tokens goes into it.
        """
        names = ("aux_codes", "aux_places", "aux_levels", "aux_segments", "aux_releases")
        codes, places, levels, segments, releases = (_at_least_one(batch[name]) for name in names)
        values = self.memory(codes, places, levels, segments, releases)
        return Memory(constrain_rows(values), segments, releases)

    def see(self, crops: jax.Array, sources: jax.Array) -> Continuous:
        """Features of crops `[batch, crops, height, width, 3]` in [-1, 1], to stand where `sources` says.

        They are numbered crop after crop, each row by row.
        """
        features = self.vision(crops.reshape(-1, *crops.shape[2:]))
        features = self.adapter(features).reshape(crops.shape[0], -1, self.settings.width)
        return Continuous(constrain_rows(features), sources)

    def output_kernel(self) -> jax.Array:
        """The output head `[width, vocabulary]`, float32."""
        return self._table().T if self.settings.tied else self.head

    def logits(self, hidden: jax.Array) -> jax.Array:
        """float32 `[..., vocabulary]` of hidden states `[..., width]`."""
        return matmul(hidden, self.output_kernel().astype(hidden.dtype)).astype(jnp.float32)

    def embeddings(self, image: jax.Array, text: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Contrastive embeddings of hidden states `[..., width]` at EMB tokens of images and of texts.

        Returns:
          both of length 1, float32 `[..., embedding]`, and float32 `[2]`: logarithm of the scale, and the bias.
        """

        def unit(x: jax.Array) -> jax.Array:
            return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)

        image, text = (x.astype(jnp.float32) for x in (image, text))
        return unit(self.embed_image(image)), unit(self.embed_text(text)), self.contrast

    def everything(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Calls every part once, so that `init` makes all parameters."""
        memory = self.remember(batch) if self.settings.cross_every else None
        continuous = None
        if self.settings.vision:
            side = self.settings.vision.image_size
            rows = batch["tokens"].shape[0]
            continuous = self.see(jnp.zeros((rows, 1, side, side, 3)), jnp.full_like(batch["tokens"], -1))
        hidden = self(Tokens.of(batch), memory, continuous)
        if self.settings.embedding:
            self.embeddings(hidden[:, 0], hidden[:, 0])
        return self.logits(hidden[:, :1])

    def _table(self) -> jax.Array:
        """Embeddings of all ids, float32 `[vocabulary, width]`."""
        table, s = self.embed.embedding, self.settings
        return shared_table(table, self.code_parts, s.code_levels, s.code_rows, self.first_code) if s.code_levels else table

    def _nothing(self, batch: int) -> Memory:
        """A memory that no token sees."""
        shape = (batch, 1)
        values = jnp.zeros((*shape, self.settings.memory.width), jnp.dtype(self.settings.dtype))
        return Memory(values, jnp.zeros(shape, jnp.int32), jnp.full(shape, 2**30, jnp.int32))


def _at_least_one(x: jax.Array) -> jax.Array:
    """`[batch, positions, ...]`; where there are no positions, one of zeros, which belongs to no document."""
    return x if x.shape[1] else jnp.zeros((x.shape[0], 1, *x.shape[2:]), x.dtype)
