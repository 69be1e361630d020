"""A question is answered once; another question, or a file that was cut short, is answered anew."""

from ugf_jax.planning.cache import cached, source_digest


def test_the_same_question_is_asked_once(tmp_path):
    asked = []

    def answer():
        asked.append(1)
        return {"number": len(asked)}

    assert cached(tmp_path, {"a": 1}, answer) == {"number": 1}
    assert cached(tmp_path, {"a": 1}, answer) == {"number": 1}
    assert cached(tmp_path, {"a": 2}, answer) == {"number": 2}
    assert cached(None, {"a": 1}, answer) == {"number": 3}
    (tmp_path / next(tmp_path.iterdir()).name).write_text('{"numb')
    assert {cached(tmp_path, {"a": n}, answer)["number"] for n in (1, 2)} in ({4, 2}, {1, 4})


def test_the_source_has_one_digest():
    assert source_digest() == source_digest()
    assert len(source_digest()) == 64
