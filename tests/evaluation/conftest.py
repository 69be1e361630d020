import io
import math
import types

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ugf_jax.data import shapes
from ugf_jax.data.image import decode
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.training.digests import fingerprint

SIZES = [(64, 64), (40, 96), (96, 40), (48, 64), (64, 48), (30, 110), (64, 60), (112, 28), (90, 91), (62, 63)]


class BlockTokenizer:
    """Follows the tokenizer's interface with block means: the master holds 4×4 gray cells, auxiliary codes 8×8 block means."""

    canvas = 16
    grid = 4

    def __init__(self, step=7):
        self.step, self.config = step, {"stage": "tokenizer", "model": {"width": 1}}
        self.variables = {"params": {"scale": jnp.full((3,), float(step))}}
        quantizer = types.SimpleNamespace(codebook_size=256)
        part = types.SimpleNamespace(quantizer=quantizer, groups=3, keep=1.0)
        self.settings = types.SimpleNamespace(master=part, auxiliary=part)
        self.calls = 0

    def digest(self):
        return fingerprint(self.variables)

    def padded_shape(self, height, width):
        return tuple(-(-side // self.canvas) * self.canvas for side in (height, width))

    def encode(self, images, keep=None):
        self.calls += 1
        return [self._encode_one(image, 1.0 if keep is None else keep) for image in images]

    def _encode_one(self, image, keep):
        assert tuple(s % self.canvas for s in image.shape[:2]) == (0, 0)
        master = cv2.resize(image, (self.grid, self.grid), interpolation=cv2.INTER_AREA).mean(-1).round()
        rows, columns = (s // 8 for s in image.shape[:2])
        blocks = image.reshape(rows, 8, columns, 8, 3).mean(axis=(1, 3)).round()
        energy = np.square(blocks - self._up(master, (rows, columns))).sum(-1)
        kept = np.zeros(rows * columns, bool)
        kept[np.argsort(-energy, axis=None, kind="stable")[: math.ceil(keep * kept.size)]] = True
        kept = kept.reshape(rows, columns)
        auxiliary = np.where(kept[..., None], blocks, 0)
        return ImageCodes(master.astype(np.uint32), (auxiliary.astype(np.uint32),), (kept,), image.shape[:2])

    def _up(self, master, size):
        return cv2.resize(master.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST)[..., None].repeat(3, -1)

    def decode(self, codes, size, levels=None):
        return np.stack([self._decode_one(c, levels)[: size[0], : size[1]] for c in codes])

    def _decode_one(self, codes, levels):
        up = self._up(codes.master, codes.bucket)
        if levels != 0:
            blocks, kept = (a.repeat(8, 0).repeat(8, 1) for a in (codes.auxiliary[0], codes.kept[0]))
            up = np.where(kept[..., None], blocks, up)
        return up.astype(np.uint8)

    def bits(self, codes):
        kept = codes.kept[0]
        return {"master": 8.0 * codes.master.size, "auxiliary": 24.0 * kept.sum() + (0 if kept.all() else kept.size)}


def drawing(size, seed):
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 255, np.uint8)
    for _ in range(5):
        center = (int(rng.integers(0, size[1])), int(rng.integers(0, size[0])))
        color = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.circle(image, center, int(rng.integers(4, 25)), color, -1, cv2.LINE_AA)
    return image


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make_tokenizer():
    return BlockTokenizer


@pytest.fixture(scope="session")
def drawings():
    return [drawing(size, seed) for seed, size in enumerate(SIZES * 2)]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, drawings):
    """Twenty drawings of ten shapes, one record without an image and one image that is cut off."""
    records = [
        Record(key=f"drawing-{i}", images=(png(image),), sizes=(image.shape[:2],), captions=("circles",))
        for i, image in enumerate(drawings)
    ]
    records.insert(3, Record(key="text", captions=("no image",)))
    records.insert(6, Record(key="damaged", images=(png(drawings[0])[:200],), sizes=((64, 64),)))
    return write_dataset(tmp_path_factory.mktemp("data") / "drawings", records, shards=2)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Twenty-four drawn scenes with captions and questions, one record without an image and one image that is cut off."""
    records = [shapes.example(i, "test", max_side=64) for i in range(24)]
    records.insert(3, Record(key="text", captions=("no image",)))
    damaged = records[0]
    images = (damaged.images[0][:100],)
    records.insert(6, Record("damaged", images, damaged.sizes, damaged.captions, questions=damaged.questions))
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes", records, shards=2)


class Oracle:
    """Follows the model's interface and knows the right scene of each test prompt, picture and question of `scenes`.

    `wrong` shifts what it knows by so many places: it then draws, answers and embeds something else.
    """

    def __init__(self, dataset, wrong=0, prompts=70):
        self.dataset, self.wrong, self.calls = dataset, wrong, []
        made = [shapes.prompt_and_scene(i) for i in range(prompts)]
        self.drawn = {text: made[(i + wrong) % prompts][2] for i, (text, _, _) in enumerate(made)}
        self.records = [r for r in dataset.records() if r.scene]
        self.known = [self._seen(r.images[0]) for r in self.records]

    @staticmethod
    def _seen(data):
        return decode(data).tobytes()

    def generate_image(self, prompts, size=(256, 256), seed=0):
        self.calls.append(("draw", len(prompts), size, seed))
        return [shapes.draw(self.drawn[prompt], *size) for prompt in prompts]

    def generate_text(self, images, questions, max_tokens=64):
        self.calls.append(("answer", len(questions)))
        answers = []
        for (image,), question in zip(images, questions, strict=True):
            record = self.records[self.known.index(image.tobytes())]
            all_asked = [q["question"] for q in record.questions]
            number = (all_asked.index(question) + self.wrong) % len(all_asked)
            answers.append(f" {record.questions[number]['answer'].upper()}. ")
        return answers

    def embed_image(self, images):
        self.calls.append(("embed", len(images)))
        numbers = [self.known.index(image.tobytes()) for image in images]
        return np.eye(len(self.known), dtype=np.float32)[[(n + self.wrong) % len(self.known) for n in numbers]]

    def embed_text(self, texts):
        numbers = [next(i for i, r in enumerate(self.records) if text in r.captions) for text in texts]
        return np.eye(len(self.known), dtype=np.float32)[numbers]

    def likelihood(self, records):
        self.calls.append(("likelihood", len(records)))
        return [
            {"image": (4 * math.log(2), 2), "text": (3 * math.log(2) * len(r.captions[0]), len(r.captions[0]))} for r in records
        ]


@pytest.fixture(scope="session")
def make_oracle(scenes):
    return lambda **options: Oracle(scenes, **options)
