"""What an object says of the result that it is."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.jobs.copying.result_metadata import Provenance


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_an_objects_metadata_holds_the_source_in_ascii_and_gives_it_back(source: str) -> None:
    (value,) = Provenance(source=source).metadata().values()
    assert value.isascii()
    assert value.isprintable()
    assert value == value.strip()
    assert unquote(value) == source


def test_an_objects_metadata_is_as_s3_takes_it_and_leaves_out_what_is_not_known() -> None:
    long = Provenance(source="s3://faces/" + "像" * 2000, style=-1).metadata()
    assert long["dashscope-style"] == "-1"
    assert 1000 < len(long["dashscope-source"]) <= 1024
    assert ("s3://faces/" + "像" * 2000).startswith(unquote(long["dashscope-source"]))
    assert Provenance(model="m").metadata() == {}
    assert Provenance(style=0).metadata() == {"dashscope-style": "0"}
