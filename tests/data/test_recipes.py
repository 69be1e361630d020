"""What is announced is what is built, and what is built follows the layouts: read again by a reader of its own."""

import collections
import dataclasses

import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.documents import CODE, NEVER, NOTHING, TEXT
from ugf_jax.data.permutation import key
from ugf_jax.data.recipes import TASKS, Lengths, RecipeSettings, TaskWeights, build, choose, lengths_of
from ugf_jax.data.records import Record
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

TEXTS = TextTokenizer.load()
WORDS = VocabularySettings(codes=100)
SEEDS = range(160)


def only(task, **others):
    weights = TaskWeights(**{name: float(name == task) for name in TASKS})
    return RecipeSettings(tasks=weights, **({"length": 100_000, "auxiliary": 100_000} | others))


def keys(count):
    return key(17, np.arange(count))


def parse(document):
    """Reads a document back: its turns as `(opening special, items)`; an item is a text, "end", "emb", or a span's codes."""
    tokens, place, turns = document.tokens.tolist(), 0, []
    opening = {WORDS.bos: "bos", WORDS.system: "system", WORDS.user: "user", WORDS.assistant: "assistant"}
    spans = iter(document.spans)
    while place < len(tokens):
        token = tokens[place]
        if token in opening or not turns:
            turns.append((opening.get(token, ""), []))
            place += token in opening
            continue
        items = turns[-1][1]
        if token == WORDS.boi:
            span = next(spans)
            size = span.codes.master.size
            rows, columns = span.codes.kept[-1].shape
            sizes = [WORDS.size_token(rows), WORDS.size_token(columns)]
            codes = (span.codes.master.ravel().astype(int) + WORDS.first_code).tolist()
            assert tokens[place + 1 : place + 4 + size] == [*sizes, *codes, WORDS.eoi]
            assert (span.start, span.end) == (place, place + 3 + size)
            cells = document.cells[place : place + 4 + size].tolist()
            assert cells == [-1, -1, -1, *range(size), -1]
            items.append(span)
            place += 4 + size
        elif token in (WORDS.end, WORDS.emb):
            items.append("end" if token == WORDS.end else "emb")
            place += 1
        else:
            ids = []
            while place < len(tokens) and tokens[place] < WORDS.text:
                ids.append(tokens[place])
                place += 1
            assert ids, f"token {token} where none may be"
            items.append(TEXTS.decode(ids))
    assert next(spans, None) is None
    assert (document.cells >= 0).sum() == sum(s.codes.master.size for s in document.spans)
    return turns


def said(turns):
    """The turns with spans as `(image, role)`."""
    return [(who, [i if isinstance(i, str) else (i.image, i.role) for i in items]) for who, items in turns]


def expected_kinds(document):
    """What is trained on, from the layouts alone: who speaks, and of what role the image around a token is."""
    kinds, speaker = [], ""
    if document.task == "contrastive":
        return [NOTHING] * len(document)
    inside = {i: span for span in document.spans for i in range(span.start, span.end + 1)}
    for i, token in enumerate(document.tokens.tolist()):
        opens = token in (WORDS.bos, WORDS.system, WORDS.user, WORDS.assistant)
        speaker = token if opens else speaker
        learned = speaker in (WORDS.assistant, WORDS.bos) and not opens
        if i in inside:
            if document.cells[i] >= 0:
                kinds.append(CODE if inside[i].role == "generated" else NOTHING)
            else:
                decides = document.task == "conversation" and inside[i].role == "generated"
                kinds.append(TEXT if i == inside[i].start and decides else NOTHING)
        else:
            kinds.append(TEXT if learned else NOTHING)
    return kinds


def check_releases(document):
    for span in document.spans:
        rest = document.tokens[span.end + 1 :].tolist()
        used = bool(rest) and rest != [WORDS.end]
        loss = bool((document.kinds[span.start : span.end + 1] == CODE).any())
        assert loss == (span.role == "generated")
        wanted = {"context": span.start, "dropped": NEVER, "generated": span.end if used else NEVER}[span.role]
        assert span.release == wanted


def made_of(record, settings, number=0):
    recipe = choose(lengths_of(record, TEXTS), keys(number + 1)[number], settings)
    return recipe, build(recipe, record, TEXTS, WORDS) if recipe else ()


@pytest.mark.parametrize("limits", [{}, {"length": 60, "auxiliary": 25}, {"length": 25, "auxiliary": 0}])
@pytest.mark.parametrize("task", TASKS)
def test_what_is_announced_is_built_and_every_layout_holds(make_record, task, limits):
    settings = only(task, caption_dropout=0.3, memory_dropout=0.3, max_questions=3, **limits)
    served = 0
    for seed in SEEDS:
        record = make_record(seed)
        recipe, made = made_of(record, settings, seed)
        if recipe is None:
            continue
        served += 1
        assert recipe.task == task
        assert (recipe.tokens, recipe.documents) == (sum(map(len, made)), len(made))
        assert recipe.auxiliary == sum(document.auxiliary for document in made)
        assert recipe.tokens <= settings.length
        assert recipe.auxiliary <= settings.auxiliary
        trained = 0
        for document in made:
            parse(document)
            assert document.task == task
            assert document.kinds.tolist() == expected_kinds(document)
            check_releases(document)
            assert document.tokens[document.embed] == WORDS.emb if task == "contrastive" else document.embed == -1
            trained += int((document.kinds != NOTHING).sum())
            assert document.kinds[-1] != NOTHING or document.tokens[-1] in (WORDS.eoi, WORDS.emb)
        assert (trained > 0) == (task != "contrastive")
    assert served > (5 if limits else 30)


def whole(record, task):
    """The documents of a record as they must read when nothing is cut or dropped, `None` where any caption will do."""
    image = (0, "context")
    if task == "question":
        return {(f"{q['question']}", q["answer"]) for q in record.questions}
    caption = set(record.captions)
    return {
        "generate": [("user", [caption, "end"]), ("assistant", [(0, "generated"), "end"])],
        "caption": [("user", [image, "end"]), ("assistant", [caption, "end"])],
        "text": [("bos", [caption, "end"])],
    }[task]


@pytest.mark.parametrize("task", ["generate", "caption", "text"])
def test_whole_documents_say_what_the_record_says(make_record, task):
    settings = only(task, caption_dropout=0, memory_dropout=0)
    for seed in SEEDS:
        record = make_record(seed)
        recipe, made = made_of(record, settings, seed)
        servable = bool(record.captions) and (task == "text" or bool(record.codes))
        assert (recipe is not None) == servable
        if recipe:
            turns = said(parse(made[0]))
            wanted = whole(record, task)
            assert [who for who, _ in turns] == [who for who, _ in wanted]
            for (_, items), (_, other) in zip(turns, wanted, strict=True):
                assert len(items) == len(other)
                assert all(
                    item in want if isinstance(want, set) else item == want for item, want in zip(items, other, strict=True)
                )


def test_questions_are_asked_one_after_another_about_the_first_image(make_record):
    settings = only("question", memory_dropout=0, max_questions=3)
    for seed in SEEDS:
        record = make_record(seed)
        recipe, made = made_of(record, settings, seed)
        assert (recipe is not None) == bool(record.codes and record.questions)
        if recipe:
            turns = said(parse(made[0]))
            assert len(turns) == 2 * min(3, len(record.questions))
            assert turns[0][1].pop(0) == (0, "context")
            pairs = [(q[1][:-1], a[1][:-1]) for q, a in zip(turns[::2], turns[1::2], strict=True)]
            asked = [[record.questions[n][name] for name in ("question", "answer")] for n in recipe.questions]
            assert pairs == [([q] if q else [], [a] if a else []) for q, a in asked]
            assert len(set(recipe.questions)) == len(recipe.questions)
            assert all(items[-1] == "end" for _, items in turns)


def test_contrastive_pairs_come_from_documents_of_their_own(make_record):
    for seed in SEEDS:
        record = make_record(seed)
        recipe, made = made_of(record, only("contrastive", memory_dropout=0), seed)
        assert (recipe is not None) == bool(record.codes and record.captions)
        if recipe:
            image, caption = made
            assert said(parse(image)) == [("", [(0, "context"), "emb"])]
            assert said(parse(caption)) == [("user", [record.captions[recipe.caption], "emb"])]
            assert not image.kinds.any()
            assert not caption.kinds.any()


def test_a_dropped_caption_leaves_the_image_at_position_0(make_codes):
    record = Record("k", captions=("a cat",), codes=(make_codes(1),))
    recipe, (document,) = made_of(record, only("generate", caption_dropout=1.0))
    assert recipe.caption == -1
    assert document.tokens[0] == WORDS.boi
    assert document.tokens[-1] == WORDS.eoi
    assert document.spans[0].release == NEVER


def share(record, settings, what, count=3000):
    lengths = lengths_of(record, TEXTS)
    return float(np.mean([what(choose(lengths, k, settings)) for k in keys(count)]))


def test_the_fullest_caption_is_drawn_from_as_often_as_asked(make_codes):
    record = Record("k", captions=("a cat", "a black cat on a mat", "a black cat"), codes=(make_codes(1),))
    shares = [
        share(record, only("generate", fullest=fullest, caption_dropout=0.0), lambda r: r.caption == 1)
        for fullest in (0.0, 0.4, 1.0)
    ]
    assert shares == pytest.approx([1 / 3, 0.4 + 0.6 / 3, 1], abs=0.03)
    cut = share(record, only("generate", fullest=1.0, caption_dropout=0.2), lambda r: r.caption < 0)
    assert cut == pytest.approx(0.2, abs=0.025)


def test_dropouts_and_weights_come_near_their_settings(make_codes):
    turns = ({"from": "human", "value": "<|image|> <|image|>"}, {"from": "gpt", "value": "both"})
    record = Record("k", captions=("a", "b"), codes=(make_codes(1), make_codes(2)), turns=turns)
    settings = RecipeSettings(caption_dropout=0.2, memory_dropout=0.3)
    assert share(record, dataclasses.replace(settings, tasks=only("generate").tasks), lambda r: r.caption < 0) == pytest.approx(
        0.2, abs=0.025
    )
    for task in ("caption", "contrastive"):
        rate = share(record, dataclasses.replace(settings, tasks=only(task).tasks), lambda r: r.dropped == (0,))
        assert rate == pytest.approx(0.3, abs=0.03)
    spoken = dataclasses.replace(settings, tasks=only("conversation").tasks)
    both = [share(record, spoken, lambda r, i=i: i in r.dropped) for i in (0, 1)]
    assert both == pytest.approx([0.3, 0.3], abs=0.03)  # each image by itself
    assert share(record, spoken, lambda r: len(r.dropped) == 2) == pytest.approx(0.09, abs=0.02)
    for rate in (0.0, 1.0):
        assert share(record, only("caption", memory_dropout=rate), lambda r: r.dropped == (0,), 50) == rate
    weights = TaskWeights(generate=3, caption=1, question=50, conversation=0, text=0, contrastive=2)  # no questions here
    lengths, count = lengths_of(record, TEXTS), 3000
    tasks = collections.Counter(choose(lengths, k, RecipeSettings(tasks=weights)).task for k in keys(count))
    assert {t: n / count for t, n in tasks.items()} == pytest.approx(
        {"generate": 0.5, "caption": 1 / 6, "contrastive": 1 / 3}, abs=0.03
    )
    assert share(record, only("caption"), lambda r: r.caption) == pytest.approx(0.5, abs=0.03)


def test_choices_depend_on_lengths_key_and_settings_alone(make_record):
    records = [make_record(seed) for seed in range(60)]
    lengths = [lengths_of(r, TEXTS) for r in records]
    settings = RecipeSettings(length=120)
    forward = [choose(n, k, settings) for n, k in zip(lengths, keys(60), strict=True)]
    backward = [choose(n, k, settings) for n, k in reversed(list(zip(lengths, keys(60), strict=True)))]
    assert forward == backward[::-1]
    assert [
        choose(n, int(k), settings) for n, k in zip(lengths, keys(60), strict=True)
    ] == forward  # plain integers are keys too
    assert len({hash(r) for r in forward}) > 20
    other = [choose(n, k + np.uint64(1), settings) for n, k in zip(lengths, keys(60), strict=True)]
    assert forward != other
    # Lengths say all there is to know: they survive being taken apart and put together.
    again = [Lengths(**dataclasses.asdict(n)) for n in lengths]
    assert [choose(n, k, settings) for n, k in zip(again, keys(60), strict=True)] == forward


def test_the_order_of_building_does_not_matter(make_record):
    settings = RecipeSettings(length=120)
    pairs = [(r, recipe) for r in map(make_record, range(40)) if (recipe := choose(lengths_of(r, TEXTS), 5, settings))]
    first = [build(recipe, record, TEXTS, WORDS) for record, recipe in pairs]
    second = [build(recipe, record, TEXTS, WORDS) for record, recipe in reversed(pairs)][::-1]
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.tokens, b.tokens)
            np.testing.assert_array_equal(a.kinds, b.kinds)


def test_text_of_a_user_never_becomes_structure(make_codes):
    bad = "<|image|> <boi> <eoi> <user> <end> <s> </s> <|endoftext|> size 8 code 3"
    record = Record("k", captions=(bad,), questions=({"question": bad, "answer": bad},), codes=(make_codes(1),))
    for task in ("generate", "caption", "question", "text", "contrastive"):
        for document in made_of(record, only(task, caption_dropout=0))[1]:
            items = [i for _, items in parse(document) for i in items]
            assert [i for i in items if i in (bad, "end", "emb")] == [i for i in items if isinstance(i, str)]
            assert bad in items or (task == "contrastive" and document.spans)


def test_a_changed_record_is_not_built_as_announced(make_codes):
    record = Record("cat 7", captions=("a cat",), codes=(make_codes(1),))
    recipe = choose(lengths_of(record, TEXTS), 1, only("caption", memory_dropout=0))
    for changed in ({"captions": ("a",)}, {"codes": (make_codes(2),)}):
        with pytest.raises(
            InputError, match=r"record 'cat 7': .* were planned: its texts or codes changed; prepare the dataset"
        ):
            build(recipe, dataclasses.replace(record, **changed), TEXTS, WORDS)
    with pytest.raises(InputError, match=r"record 'cat 7': config\.vocabulary\.codes is 1;"):
        build(recipe, record, TEXTS, VocabularySettings(codes=1))


def test_what_cannot_be_served_is_told_by_none(make_codes):
    nothing = lengths_of(Record("k"), TEXTS)
    assert nothing == Lengths()
    assert choose(nothing, 1, RecipeSettings()) is None
    text = lengths_of(Record("k", captions=("words",)), TEXTS)
    assert {choose(text, k, RecipeSettings()).task for k in keys(50)} == {"text"}
    uncoded = Record(
        "k", sizes=((9, 9),), captions=("a",), turns=({"from": "human", "value": "<|image|>"}, {"from": "gpt", "value": "a"})
    )
    assert lengths_of(uncoded, TEXTS).images == ()
    assert choose(lengths_of(uncoded, TEXTS), 1, only("conversation")) is None
    with pytest.raises(InputError, match=r"record 'k': 1 <\|image\|> in its turns for 2 images"):
        lengths_of(dataclasses.replace(uncoded, sizes=((9, 9),) * 2), TEXTS)


def test_weights_of_nothing_are_refused():
    with pytest.raises(InputError, match=r"config\.recipes\.tasks: every weight is 0"):
        config.parse(RecipeSettings, {"tasks": dict.fromkeys(TASKS, 0.0)}, "config.recipes")
    assert config.parse(RecipeSettings, {}) == RecipeSettings()
