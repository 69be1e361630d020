import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch import names
from ugf_jax.errors import InputError


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_name_made_of_any_text_is_a_label_or_empty(text):
    made = names.from_text(text)
    assert made == "" or names.label(made, "name") == made


@settings(deadline=None)
@given(st.text(alphabet=string.printable, max_size=70))
def test_labels_have_no_room_for_what_means_something_elsewhere(text):
    try:
        names.label(text, "name")
    except InputError:
        return
    assert 0 < len(text) <= 63
    assert set(text) <= set(string.ascii_lowercase + string.digits + "-")
    assert text[0] != "-" != text[-1]


@pytest.mark.parametrize("bad", ["", "A", "a_b", "-a", "a-", "a.b", "a b", "a\n", "é", "a" * 64, "$(id)"])
def test_what_is_no_label_is_named(bad):
    with pytest.raises(InputError, match="--name is"):
        names.label(bad, "name")


def test_a_label_may_have_to_begin_with_a_letter():
    assert names.label("1a", "name") == "1a"
    with pytest.raises(InputError, match="begin with a letter"):
        names.label("1a", "name", first_letter=True)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.image, ["ugf", "h.io:5000/a/b_c:1.0", "a@sha256:" + "0" * 64], ["", "A/b C", "a:b:c", "-a", "a;b", "a$x"]),
        (names.host, ["a", "me@10.0.0.1", "node-7.cluster"], ["", "-oProxyCommand=x", "a b", "me@", "a;b", "$(id)"]),
        (names.variable, ["HF_TOKEN", "_a1"], ["", "1A", "A-B", "A=B", "A B"]),
        (names.dns_name, ["hub", "a.b-c"], ["", "a..b", "A", "a_b", "a" * 254]),
    ],
)
def test_references(check, good, bad):
    arguments = () if check is names.image else ("flag",)
    for value in good:
        assert check(value, *arguments) == value
    for value in bad:
        with pytest.raises(InputError):
            check(value, *arguments)


def test_labels_of_nodes():
    assert names.node_label("cloud.google.com/reservation-name=ours", "node_label") == (
        "cloud.google.com/reservation-name",
        "ours",
    )
    for bad in ("a", "=b", "a=b=c", "a b=c", "a=b c"):
        with pytest.raises(InputError, match="KEY=VALUE"):
            names.node_label(bad, "node_label")


@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "api_key", "KEY", "GOOGLE_CREDENTIALS"])
def test_values_of_secrets_are_refused_and_not_repeated(name):
    with pytest.raises(InputError, match=f"--env={name}=…: looks like a secret.*--by=REFERENCE") as told:
        names.assignment(f"{name}=hunter2", "env", "--by=REFERENCE")
    assert "hunter2" not in str(told.value)


def test_other_variables_pass():
    assert names.assignment("XLA_FLAGS=--a=b --c", "env", "") == ("XLA_FLAGS", "--a=b --c")
    assert names.assignment("MONKEYS=3", "env", "") == ("MONKEYS", "3")
    for bad in ("A", "A=b\nc", "1=2"):
        with pytest.raises(InputError):
            names.assignment(bad, "env", "")
