"""Makes the shipped text tokenizer: `python -m ugf_jax.data.train_text [OUT]`; the same corpus gives the same file.

A byte-level BPE (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2) whose digits stand
alone, trained on what the embedded data says: the captions of `clipart`, captions and questions of `shapes`, and requests
about the subjects of `clipart` in the words that people use to ask for pictures and changes.
"""

import pathlib
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from ugf_jax.data import shapes
from ugf_jax.data.sources import embedded
from ugf_jax.data.text import SHIPPED

SIZE = 2048
SCENES = 4000

REQUESTS = """
Draw {}.
Draw me {}, please. Thanks!
Please make a picture of {}.
Could you create an image of {}?
Can you draw {} for me?
Generate a simple drawing of {} on a white background.
I would like to see {} in the style of a cartoon.
Show me {} with a different colour.
Here is the picture of {} that you asked for.
Sure, here is {}.
This is {}.
The image shows {}.
It looks like {}, drawn with simple lines.
Describe this picture.
What do you see in the image?
What is shown here, and what does it look like?
Is this {} or something else?
Are there any people or animals in this picture?
Which of these two images shows {}?
The first image shows {}, the second one does not.
Now make it larger and move it to the left.
Change the background from white to blue.
Replace it with {}.
Remove {} from the picture and keep everything else the same.
Add {} next to it.
Add another one above, below, inside or around it.
Make the colours brighter, darker or more like a photograph.
Explain how you know that there is only one object.
I think that they have been there because we were looking for them.
You are a helpful assistant who answers questions about pictures and draws what people ask for.
Hello! How can I help you today? Thank you, that would be very good.
No, I do not know what this is. Yes, it is. I'm sorry, I can't tell.
"""


def corpus() -> Iterator[str]:
    """What the shipped tokenizer is trained on."""
    subjects = []
    for unit in (source := embedded.clipart("train")).units():
        for example in source.examples(unit):
            yield from example.captions
            subjects.append(example.captions[-1].partition(",")[0])
    for number in range(SCENES):
        rng = random.Random(f"text tokenizer {number}")
        scene = shapes.scene(number)
        yield from shapes.captions(scene, rng)
        yield from (text for q in shapes.questions(scene, rng) for text in (q["question"], q["answer"]))
    requests = REQUESTS.strip().splitlines()
    for number, subject in enumerate(subjects * 3):
        request = requests[number % len(requests)].format(subject)
        yield request.lower() if number // len(requests) % 2 else request


def train(texts: Iterable[str], size: int = SIZE) -> tokenizers.Tokenizer:
    """A byte-level BPE of `size` entries, the 256 bytes among them."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main(out: pathlib.Path = SHIPPED) -> None:
    """Trains the tokenizer, writes it, and says how well it does on texts that it has not seen."""
    tokenizer = train(corpus())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    print(f"{out}: {tokenizer.get_vocab_size()} entries, {out.stat().st_size} bytes")
    for name, texts in held_out().items():
        tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
        print(f"{name}: {sum(map(len, texts)) / tokens:.2f} characters a token, {tokens / len(texts):.1f} tokens a text")


def held_out() -> dict[str, list[str]]:
    """Texts of the test splits."""
    source = embedded.clipart("test")
    drawings = [text for unit in source.units() for example in source.examples(unit) for text in example.captions]
    records: list[Any] = [shapes.scene(number, "test") for number in range(500)]
    said: list[str] = []
    asked: list[str] = []
    for number, scene in enumerate(records):
        rng = random.Random(f"text tokenizer test {number}")
        said += shapes.captions(scene, rng)
        asked += [text for q in shapes.questions(scene, rng) for text in (q["question"], q["answer"])]
    return {"clipart captions": drawings, "shapes captions": said, "shapes questions and answers": asked}


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
