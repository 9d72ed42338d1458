"""Reports of files: rows of a CSV file are called by their lines where each row is a line, and in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from whence.validation import Feature, Presence, Report, Schema, StringDomain
from whence.validation.files import validate_file

SCHEMA = Schema().add(Feature("plan", "STRING", Presence(min_count=1), domain=StringDomain(("free", "pro"))))


def judged(tmp_path: Path, text: str, schema: Schema = SCHEMA) -> Report:
    path = tmp_path / "february.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return validate_file(path, schema)[0]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_are_called_by_their_lines(tmp_path: Path, end: str) -> None:
    rows = ["plan,note", "free,å", "odd,b", "pro,c", "odd,d"]
    report = judged(
        tmp_path, end.join(rows), SCHEMA.add(Feature("note", "STRING")).rule("short", "note < 'd'")
    )
    assert [a.rows for a in report.anomalies] == [
        ("february.csv:3", "february.csv:5"),
        ("february.csv:2", "february.csv:5"),
    ]
    assert report.anomalies[0].message == "plan: 2 of 4 values are not in the domain: 'odd'"
    (values, rule) = report.table()
    assert (values["observed"], values["allowed"], rule["example"]) == ("odd", "free, pro", "february.csv:2")


@pytest.mark.parametrize("text", ['plan,note\n"free","a\nb"\nodd,c\n', "plan,note\n\nfree,a\nodd,b\n"])
def test_where_lines_and_rows_part_they_go_by_position(tmp_path: Path, text: str) -> None:
    (found,) = judged(tmp_path, text, SCHEMA.add(Feature("note", "STRING"))).anomalies
    assert found.rows == ("row:february.csv/#1",)


def test_one_is_singular_and_at_least_one_row_is_optional(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, "plan\nodd\n").anomalies
    assert found.message == "plan: 1 of 1 value is not in the domain: 'odd'"
    assert SCHEMA.table()[0]["presence"] == "optional"
    assert SCHEMA.edit("plan", min_count=5).table()[0]["presence"] == "at least 5 rows"
