"""Datasets made by `ugf prepare` as documents of UniToken: conversations, and captions as requests for their image."""

from ugf_jax.data.documents import Document
from ugf_jax.data.image import decode
from ugf_jax.data.index import Dataset
from ugf_jax.data.records import Record
from ugf_jax.data.sources.fields import IMAGE_MARK
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.conversation import Turn, conversation
from ugf_jax.data.unitoken.layout import Seen
from ugf_jax.data.unitoken.packing import DocumentSize, with_features
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError

REQUEST = "Generate an image according to the following prompt:\n"


class PreparedRecords:
    """Random access to a prepared dataset whose images have codes; with pixels for the vision tower where it has one.

    Attributes:
      dataset: what is read.
      digest: tells its content.
    """

    def __init__(self, dataset: Dataset, text: TextTokenizer):
        self.dataset, self.digest, self._text = dataset, dataset.fingerprint, text

    def __len__(self) -> int:
        return self.dataset.num_records

    def document(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> Document:
        """A record as a document.

        Raises:
          InputError: a record without conversation and caption, without codes, or without the pixels that are wanted.
        """
        return self._made(self.dataset.record(number), words, vision)

    def size(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> DocumentSize:
        """What a record will take of a row; decodes no image.

        Raises:
          InputError: as `document` does.
        """
        record = self.dataset.record(number)
        bare = self._made(record, words, None)
        return with_features(len(bare), bare.auxiliary, record.sizes[: _shown(record)], vision)

    def _made(self, record: Record, words: UniTokenVocabulary, vision: AnyResSettings | None) -> Document:
        try:
            return conversation(_turns(record), _seen(record, vision), self._text, words, vision)
        except InputError as error:
            raise InputError(f"{self.dataset.folder}: record '{record.key}': {error}") from error


def _turns(record: Record) -> list[Turn]:
    if record.turns:
        return [(turn["from"], turn["value"]) for turn in record.turns]
    if not record.captions:
        raise InputError("no conversation and no caption; want one of them")
    return [("human", REQUEST + record.captions[0]), ("gpt", IMAGE_MARK)]


def _seen(record: Record, vision: AnyResSettings | None) -> list[Seen]:
    images = _shown(record)
    if record.images and len(record.codes) < len(record.images):
        raise InputError("images without codes; prepare them with --tokenize")
    if vision and len(record.images) < images:
        raise InputError("no pixels for the vision tower; prepare them without --drop_pixels")
    return [Seen(record.codes[i], decode(record.images[i]) if vision else None) for i in range(images)]


def _shown(record: Record) -> int:
    """Images of a record that are in its document."""
    return len(record.codes) if record.turns else min(len(record.codes), 1)
