import numpy as np
import pytest

from ugf_jax.data.documents import CODE, IMAGE, NEVER, NOTHING, TEXT, USER_TURN, Layout, Piece, conversation_pieces, finest_grid
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

WORDS = VocabularySettings(codes=100)


def codes(master=((1, 2, 3), (4, 5, 6)), grid=(4, 6), levels=1):
    kept = tuple(np.ones(grid, bool) for _ in range(levels))
    return ImageCodes(np.array(master, np.uint16), tuple(np.zeros((*grid, 2), np.uint8) for _ in kept), kept, (32, 48))


def test_a_span_has_sizes_of_the_finest_grid_and_codes_row_by_row():
    made = Layout(WORDS).special(WORDS.user).image(3, codes(), "generated").document("generate")
    names = [WORDS.user, WORDS.boi, WORDS.size_token(4), WORDS.size_token(6)]
    assert made.tokens.tolist() == [*names, *(WORDS.first_code + c for c in (1, 2, 3, 4, 5, 6)), WORDS.eoi]
    assert made.kinds.tolist() == [NOTHING] * 4 + [CODE] * 6 + [NOTHING]
    assert made.cells.tolist() == [-1] * 4 + [0, 1, 2, 3, 4, 5] + [-1]
    assert [(s.image, s.start, s.end) for s in made.spans] == [(3, 1, 10)]
    assert (made.tokens.dtype, made.kinds.dtype, made.cells.dtype) == (np.int32, np.int8, np.int32)
    assert (made.embed, made.task, len(made)) == (-1, "generate", 11)


def after(layout, what):
    return {
        "nothing": lambda: layout,
        "end": lambda: layout.special(WORDS.end, trained=True),
        "text": lambda: layout.text([5], trained=True),
        "end and more": lambda: layout.special(WORDS.end).special(WORDS.user),
        "embedding": layout.embedding,
    }[what]()


@pytest.mark.parametrize("what", ["nothing", "end", "text", "end and more", "embedding"])
@pytest.mark.parametrize("role", ["context", "generated", "dropped"])
def test_release_follows_the_table_of_roles(role, what):
    layout = Layout(WORDS).text([7, 7, 7]).image(0, codes(), role)
    (span,) = after(layout, what).document("").spans
    used = what not in ("nothing", "end")
    wanted = {"context": span.start, "generated": span.end if used else NEVER, "dropped": NEVER}[role]
    assert span.release == wanted
    assert span.auxiliary == (0 if wanted == NEVER else 24)


def test_each_image_of_several_has_its_own_release():
    layout = Layout(WORDS).image(0, codes(), "context").image(1, codes(), "generated").image(2, codes(), "dropped")
    made = layout.image(3, codes(), "generated").document("")
    assert [s.release for s in made.spans] == [0, made.spans[1].end, NEVER, NEVER]
    assert made.auxiliary == 48


def test_boi_is_trained_on_where_the_model_decides_to_draw():
    forced, decided = (Layout(WORDS).image(0, codes(), "generated", decided=d).document("") for d in (False, True))
    assert (forced.kinds[0], decided.kinds[0]) == (NOTHING, TEXT)
    np.testing.assert_array_equal(forced.kinds[1:], decided.kinds[1:])


def test_without_auxiliary_codes_the_master_grid_gives_the_size():
    assert finest_grid(codes(levels=0)) == (2, 3)
    assert finest_grid(codes(levels=2)) == (4, 6)


def test_what_has_no_token_is_refused():
    with pytest.raises(InputError, match=r"config\.vocabulary\.codes is 100; an image has master code 100"):
        Layout(WORDS).image(0, codes([[100]]), "context")
    with pytest.raises(InputError, match=r"vocabulary\.sizes is 128; an image with a grid of 129"):
        Layout(WORDS).image(0, codes(grid=(1, 129)), "context")


def turns(*said):
    return tuple({"from": who, "value": value} for who, value in said)


def test_conversations_are_cut_at_image_marks_and_texts_kept_as_they_are():
    said = turns(("system", "Be brief."), ("human", "<|image|>\nwhat <|image|><|image|>"), ("gpt", " <|IMAGE|> <|image |>"))
    found = conversation_pieces(Record("k", sizes=((1, 1),) * 3, turns=said))
    assert found == (
        Piece(0, "Be brief."),
        Piece(USER_TURN, ""),
        Piece(IMAGE, "\nwhat "),
        Piece(IMAGE, ""),
        Piece(IMAGE, ""),
        Piece(2, " <|IMAGE|> <|image |>"),
    )
    assert conversation_pieces(Record("k", sizes=((1, 1),))) == ()


@pytest.mark.parametrize(
    ("said", "images", "words"),
    [
        (turns(("human", "<|image|>")), 0, "1 <|image|> in its turns for 0 images"),
        (turns(("human", "look")), 1, "0 <|image|> in its turns for 1 images"),
        (turns(("human", "<|image|><|image|>")), 1, "2 <|image|> in its turns for 1 images"),
        (turns(("robot", "hello")), 0, "is no turn; want from (human, gpt or system) and value"),
        (({"value": "hello"},), 0, "is no turn"),
        (({"from": "human"},), 0, "is no turn"),
    ],
)
def test_a_conversation_that_does_not_fit_its_images_names_the_record(said, images, words):
    with pytest.raises(InputError) as caught:
        conversation_pieces(Record("cat 7", sizes=((1, 1),) * images, turns=said))
    assert str(caught.value).startswith("record 'cat 7': ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
