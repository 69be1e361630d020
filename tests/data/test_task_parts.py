import dataclasses

from ugf_jax.data.recipes import Lengths, lengths_of
from ugf_jax.data.text import TextTokenizer

TEXTS = TextTokenizer.load()


def test_lengths_count_every_part_of_a_record(make_record):
    for seed in range(150):
        record = make_record(seed)
        found = lengths_of(record, TEXTS)
        assert found.captions == tuple(len(TEXTS.encode(c)) for c in record.captions)
        assert found.questions == tuple(
            (len(TEXTS.encode(q["question"])), len(TEXTS.encode(q["answer"]))) for q in record.questions
        )
        assert found.images == tuple((c.master.size, sum(int(k.sum()) for k in c.kept)) for c in record.codes)
        turns = []
        for turn in record.turns:
            opens = {"system": 0, "human": 1, "gpt": 2}[turn["from"]]
            for text in turn["value"].split("<|image|>"):
                turns.append(4 * len(TEXTS.encode(text)) + opens)
                opens = 3
        assert found.turns == tuple(turns)
        assert found == Lengths(**dataclasses.asdict(found))
