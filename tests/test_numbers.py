"""The page of benchmarks says what its record holds."""

from benchmarks.__main__ import measured, table
from benchmarks.headline import headline
from benchmarks.pages import standing


def test_the_tables_of_the_page_of_benchmarks_are_those_of_its_record() -> None:
    rows = measured()

    assert len(rows) > 30
    assert standing("ratios") == table(rows)
    assert standing("headline") == "\n".join(headline(rows))
