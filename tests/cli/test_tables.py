import sys

from ugf_jax.cli.tables import print_table


def test_piped_tables_are_plain_columns_with_numbers_to_the_right(capsys):
    print_table("Title", ("name", "count"), [("a", "1"), ("longer", "1,000")])
    assert capsys.readouterr().out.splitlines() == ["", "Title", "  name    count", "  a           1", "  longer  1,000"]


def test_a_terminal_gets_lines_and_the_same_cells(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table("Title", ("name", "count"), [("a", "1"), ("longer", "1,000")])
    out = capsys.readouterr().out
    assert "─" in out or "━" in out
    assert all(cell in out for cell in ("Title", "name", "longer", "1,000"))


def test_empty_tables_print_their_title(capsys):
    print_table("Title", ("name",), [])
    assert capsys.readouterr().out.splitlines() == ["", "Title", "  name"]
