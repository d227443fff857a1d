"""Manifests of every format, in S3 and on disk: what is read, carried through and refused."""

from __future__ import annotations

import datetime
import gzip
import io
import itertools
import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.batch.input import formats
from airflow_provider_wanx.batch.input.formats import json_value
from airflow_provider_wanx.batch.input.manifests import ManifestSource
from airflow_provider_wanx.batch.input.rows import InvalidRow, RowMaker
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from tests.unit.support.s3 import Bucket, connection_json


def _source(url: str, *, styles: tuple[int, ...] = (0,)) -> ManifestSource:
    maker = RowMaker(styles=styles, style_reference=None, rule=ANYWHERE)
    return ManifestSource(url=url, maker=maker, aws_conn_id="aws_default")


def _jsonl(*records: Any) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


Put = Callable[[str, bytes], str]


@pytest.fixture(params=["s3", "disk", "file"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    """Store a file; return its URL."""

    def on_disk(name: str, body: bytes) -> str:
        (tmp_path / name).write_bytes(body)
        return str(tmp_path / name)

    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        return lambda name, body: bucket.put(f"our/{name}", body)
    return on_disk if request.param == "disk" else lambda name, body: f"file://{on_disk(name, body)}"


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., str]:
    """Write a Parquet file; return its path."""

    def write(table: dict[str, Any], **options: Any) -> str:
        pq.write_table(pa.table(table), tmp_path / "m.parquet", **options)
        return str(tmp_path / "m.parquet")

    return write


PEOPLE: list[dict[str, str | None]] = [
    {"image": "s3://b/ada.jpg", "style": "anime", "style_reference": None, "who": 'Ada, "Countess"\nof 肖像'},
    {"image": "bob.png", "style": "-1", "style_reference": "r.png", "who": "Bob"},
    {"image": " https://x/y.jpg?a=b ", "style": "3; 5", "style_reference": None, "who": ""},
]
ROWS = [
    Row(image="s3://b/ada.jpg", style=2, columns={"who": 'Ada, "Countess"\nof 肖像'}),
    Row(image="bob.png", style=-1, style_reference="r.png", columns={"who": "Bob"}),
    Row(image="https://x/y.jpg?a=b", style=3, columns={"who": ""}),
    Row(image="https://x/y.jpg?a=b", style=5, columns={"who": ""}),
]


def _as_csv(*, line_end: str = "\n") -> bytes:
    def cell(text: str | None) -> str:
        return '"{}"'.format((text or "").replace('"', '""'))

    lines = [",".join(PEOPLE[0]), *(",".join(map(cell, person.values())) for person in PEOPLE)]
    return line_end.join([*lines, ""]).encode()


def _as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(PEOPLE), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("m.jsonl", _jsonl(*PEOPLE)),
        ("M.NDJSON", _jsonl(*PEOPLE).replace(b"\n", b"\r\n\r\n")),
        ("m.jsonl", b"\xef\xbb\xbf" + _jsonl(*PEOPLE).rstrip()),
        ("m.jsonl.gz", gzip.compress(_jsonl(*PEOPLE), mtime=0)),
        ("m.csv", _as_csv()),
        ("m.csv", b"\xef\xbb\xbf" + _as_csv(line_end="\r\n")),
        ("m.csv", _as_csv(line_end="\n\n")),
        ("m.csv.gz", gzip.compress(_as_csv(), mtime=0)),
        ("m.parquet", _as_parquet()),
    ],
)
def test_every_format_gives_the_same_rows_wherever_it_is_stored(put: Put, name: str, body: bytes) -> None:
    source = _source(put(name, body))
    assert list(source) == ROWS
    assert list(source) == ROWS


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("image;style;order\na.png;7.0;1,5\nb.png;;2\n", "utf-8"),
        ("image\tstyle\torder\na.png\t7\t1,5\nb.png\t\t2\n", "utf-16"),
        ("sep=;\r\nimage;style;order\r\na.png;7;1,5\r\nb.png;;2\r\n", "utf-8-sig"),
        ("SEP=|\nimage|style|order\na.png|7|1,5\nb.png||2\n", "utf-8"),
        ('"image","style","order",,\na.png,7.00,"1,5",,\n,,,,\nb.png,,2,,\n , ,\n,,,,\n', "utf-8"),
        ('order;"image";style\n1,5;a.png;7\n;;\n2;b.png;\n', "utf-8"),
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    assert list(_source(str(tmp_path / "m.csv"))) == [
        Row(image="a.png", style=7, columns={"order": "1,5"}),
        Row(image="b.png", style=0, columns={"order": "2"}),
    ]


@pytest.mark.parametrize("style", [7, 7.0, Decimal(7), Decimal("7.00"), "7", "7.0", " 7.00 ", "fresh; 7.0"])
def test_a_number_is_the_same_style_however_it_is_written(parquet: Callable[..., str], style: Any) -> None:
    rows = list(_source(parquet({"image": ["a.png"], "style": [style]})))
    assert 7 in [row.style for row in rows if isinstance(row, Row)]


def test_the_formats_agree_on_the_same_data(tmp_path: Path, parquet: Callable[..., str]) -> None:
    """What a user exports from one table, in which one style is missing."""
    (tmp_path / "m.csv").write_bytes(b"image,style,style_reference,no\na.png,7.0,,x\nb.png,,,y\n")
    (tmp_path / "m.jsonl").write_bytes(
        b'{"image": "a.png", "style": 7.0, "style_reference": null, "no": "x"}\n'
        b'{"image": "b.png", "style": NaN, "style_reference": "", "no": "y"}\n'
    )
    table = {
        "image": ["a.png", "b.png"],
        "style": [7.0, None],
        "style_reference": ["", None],
        "no": ["x", "y"],
    }
    found = [
        list(_source(url)) for url in (str(tmp_path / "m.csv"), str(tmp_path / "m.jsonl"), parquet(table))
    ]
    assert found[0] == found[1] == found[2]
    assert found[0] == [
        Row(image="a.png", style=7, columns={"no": "x"}),
        Row(image="b.png", style=0, columns={"no": "y"}),
    ]


def test_a_picture_that_is_inlined_in_csv_may_be_as_large_as_the_service_takes(tmp_path: Path) -> None:
    image = f"data:image/png;base64,{'A' * 14_000_000}"
    (tmp_path / "m.csv").write_text(f'image,who\n"{image}",x\n')
    (row,) = _source(str(tmp_path / "m.csv"))
    assert isinstance(row, Row)
    assert len(row.image) == len(image)


@pytest.mark.parametrize(
    ("extension", "start"),
    [
        (".jsonl.gz", b'{"image": "'),
        (".csv.gz", b"image\n"),
        (".csv.gz", b'image\n"'),
        (".csv.gz", b'image\n"\n'),
        (".csv.gz", b"image,"),
    ],
)
def test_a_row_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, extension: str, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "ROW_CHARACTERS", 100_000)
    path = tmp_path / f"m{extension}"
    for filling in (b"x", b","):
        path.write_bytes(gzip.compress(start + filling * 50_000_000, compresslevel=1))
        tracemalloc.start()
        try:
            with pytest.raises(
                InvalidInputError, match="too long for a row: it has more than 100,000 characters"
            ):
                list(_source(str(path)))
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("extension", [".jsonl.gz", ".csv.gz"])
def test_lines_without_end_are_refused(
    tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats._Lines, "most", 1000)
    path = tmp_path / f"m{extension}"
    path.write_bytes(gzip.compress(b"image\n" + b"\n" * 100_000 if "csv" in extension else b"\n" * 100_000))
    with pytest.raises(InvalidInputError, match="has more than 1,000 lines"):
        list(_source(str(path)))


def test_a_group_of_rows_that_would_fill_the_memory_is_refused(
    parquet: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "GROUP_BYTES", 1000)
    path = parquet({"image": ["a" * 100_000]}, compression="zstd", use_dictionary=False)
    with pytest.raises(InvalidInputError, match="bytes in one group of rows"):
        list(_source(path))


def test_a_cell_of_jsonl_may_hold_several_styles_and_any_json(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(
        _jsonl(
            {"image": "a", "style": ["anime", 3], "tags": {"x": [1, 2.5, None, True]}},
            {"image": "b", "id": 10**20},
        )
    )
    assert list(_source(str(tmp_path / "m.jsonl"), styles=(7,))) == [
        Row(image="a", style=2, columns={"tags": {"x": [1, 2.5, None, True]}}),
        Row(image="a", style=3, columns={"tags": {"x": [1, 2.5, None, True]}}),
        Row(image="b", style=7, columns={"id": 10**20}),
    ]


def test_a_column_of_styles_in_parquet_may_have_lists_or_gaps(parquet: Callable[..., str]) -> None:
    lists = parquet({"image": ["a", "b"], "style": [[1, 2], []]})
    assert [row.style for row in _source(lists) if isinstance(row, Row)] == [1, 2, 0]
    floats = parquet({"image": ["a", "b"], "style": [3.0, float("nan")]})
    assert [row.style for row in _source(floats) if isinstance(row, Row)] == [3, 0]


def test_what_is_no_json_in_parquet_is_carried_through_as_text(parquet: Callable[..., str]) -> None:
    moment = datetime.datetime(2026, 5, 1, 12, 30, tzinfo=datetime.UTC)
    table = {
        "image": pa.array([b"a.png"]),
        "nanoseconds": pa.array([1], pa.timestamp("ns")),
        "moment": pa.array([moment], pa.timestamp("us", "UTC")),
        "day": pa.array([moment.date()]),
        "time": pa.array([moment.time()], pa.time64("us")),
        "price": pa.array([Decimal("1.50")]),
        "binary": pa.array([b"\xff\x00"]),
        "none": pa.array([float("nan")]),
        "endless": pa.array([float("inf")]),
        "nested": pa.array([{"at": moment, "list": [Decimal(2)]}]),
        "word": pa.array(["x"]).dictionary_encode(),
    }
    (row,) = _source(parquet(table))
    assert isinstance(row, Row)
    assert row.image == "a.png"
    assert row.columns == {
        "nanoseconds": "1970-01-01 00:00:00.000000001",
        "moment": "2026-05-01 12:30:00.000000Z",
        "day": "2026-05-01",
        "time": "12:30:00.000000",
        "price": 1.5,
        "binary": "/wA=",
        "none": None,
        "endless": "inf",
        "nested": {"at": "2026-05-01T12:30:00+00:00", "list": [2]},
        "word": "x",
    }


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.datetimes()
        | st.timedeltas(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=10,
    )
)
def test_whatever_a_cell_holds_becomes_json_and_stays_it(cell: Any) -> None:
    value = json_value(cell)
    assert json.loads(json.dumps(value, allow_nan=False)) == value == json_value(value)


def test_bad_rows_are_told_with_their_lines_and_the_others_are_still_read(put: Put) -> None:
    body = b'image,style,who\na.png,1,"x\ny"\n,1,z\nb.png,watercolour,z\nc.png,-1,z\nd.png\ne.png,2,z\n'
    assert list(_source(put("m.csv", body))) == [
        Row(image="a.png", style=1, columns={"who": "x\ny"}),
        InvalidRow("line 4", "image is empty"),
        InvalidRow("line 5", "style 'watercolour' is not known"),
        InvalidRow("line 6", "style -1 takes the style from a picture: give style_reference too"),
        InvalidRow("line 7", "it has 1 cells, and the header has 3"),
        Row(image="e.png", style=2, columns={"who": "z"}),
    ]


def test_a_manifest_of_nothing_but_bad_rows_is_not_called_empty(put: Put) -> None:
    assert list(_source(put("m.csv", b"image,style\na.png\n"))) == [
        InvalidRow("line 2", "it has 1 cells, and the header has 2")
    ]


def test_bad_rows_of_jsonl_and_parquet_have_their_places_too(put: Put, parquet: Callable[..., str]) -> None:
    url = put("m.jsonl", b'{"image": "a.png"}\n\n' + _jsonl({"image": 7}, {"who": "x"}))
    assert list(_source(url))[1:] == [
        InvalidRow("line 3", "image is no text: 7"),
        InvalidRow("line 4", "image is empty"),
    ]
    assert list(_source(parquet({"image": ["a.png", None]})))[1:] == [InvalidRow("row 2", "image is empty")]


def test_a_cell_that_is_nested_too_deeply_is_a_bad_row_and_no_crash(put: Put) -> None:
    depths = [100, 101, 400]
    cells = [b'{"image": "a.png", "x": ' + b"[" * depth + b"]" * depth + b"}\n" for depth in depths]
    first, *others = _source(put("m.jsonl", b"".join(cells)))
    assert isinstance(first, Row)
    assert json.dumps(first.columns["x"]) == "[" * 100 + "]" * 100
    assert others == [InvalidRow(f"line {line}", "it is nested too deeply") for line in (2, 3)]


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        (
            "m.csv",
            b"picture,who\na.png,x\n",
            "has no column 'image', which names the pictures; it has picture, who",
        ),
        ("m.csv", b"image|style\na.png|1\n", r"has no column 'image'.* it has image\|style"),
        ("m.jsonl", _jsonl({"picture": "a.png"}), "has no column 'image'.* it has picture"),
        ("m.jsonl", b"{}\n", "has no column 'image'.* it has none"),
        ("m.csv", b"", "has no rows"),
        ("m.csv", b"image,style\n", "has no rows"),
        ("m.jsonl", b"\n", "has no rows"),
        ("m.jsonl", b'{"image": "a.png"}\n{"image": ', "line 2 is no JSON: "),
        ("m.jsonl", b'{"image": "a.png"}\n[1]\n', "line 2 is no JSON object"),
        ("m.csv", b'image,who\na.png,x\nb.png,"y\n', "line 3 is no CSV: unexpected end of data"),
        ("m.csv", b"image,who,who\na.png,x,y\n", "has more than one column named 'who'"),
        ("m.csv", "image\n肖像.png\n".encode("gbk"), "is not in UTF-8"),
        ("m.jsonl", '{"image": "肖像"}\n'.encode("utf-16-le"), "is not in UTF-8"),
        ("m.csv.gz", b"image\na.png\n", "is no whole gzip file"),
        ("m.csv.gz", gzip.compress(b"image\na.png\n", mtime=0)[:-9], "is no whole gzip file"),
        ("m.parquet", b"image\na.png\n" * 10, "cannot be read as Parquet after row 0"),
        ("m.parquet", _as_parquet()[:-20], "cannot be read as Parquet after row 0"),
        (
            "m.csv",
            b"image,status,cost\na.png,x,1\n",
            r"has a column named cost, status \(line 2\).*Rename it",
        ),
        ("m.jsonl", _jsonl({"image": "a"}, {"image": "b", "row": 1}), r"has a column named row \(line 2\)"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_with_its_name(
    put: Put, name: str, body: bytes, problem: str
) -> None:
    url = put(name, body)
    with pytest.raises(InvalidInputError, match=f"(?s)^manifest {url}.* ?{problem}"):
        list(_source(url))


def test_a_manifest_without_styles_is_refused_if_the_operator_has_none_either(put: Put) -> None:
    url = put("m.csv", b"image,who\na.png,x\n")
    with pytest.raises(InvalidInputError, match=r"has no column 'style'; it has image, who\. Add the column"):
        list(_source(url, styles=()))


def test_a_manifest_that_is_not_there_is_told(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("m.csv", "m.parquet"):
        with pytest.raises(
            S3Error, match=rf"The .*object does not exist: could not read s3://{bucket.name}/{name}"
        ):
            list(_source(f"s3://{bucket.name}/{name}"))
        with pytest.raises(InvalidInputError, match=rf"The file does not exist: manifest .*/{name}"):
            list(_source(str(tmp_path / name)))


def test_a_manifest_may_name_its_connection(
    bucket: Bucket, s3_url: str, set_connection: Callable[..., None]
) -> None:
    bucket.put("m.csv", b"image\na.png\n")
    set_connection("aws_default", connection_json("http://127.0.0.1:1", retries={"max_attempts": 0}))
    set_connection("aws_other", connection_json(s3_url))
    assert len(list(_source(f"s3://aws_other@{bucket.name}/m.csv"))) == 1


def _peak(source: ManifestSource, *, rows: int) -> int:
    """Most bytes that Python held while the source was read."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in source) == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("extension", [".jsonl", ".csv", ".csv.gz", ".parquet"])
def test_ten_times_the_rows_take_no_more_memory(
    tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(rows: int) -> ManifestSource:
        path = tmp_path / f"{rows}{extension}"
        images = [f"s3://bucket/people/{number:07}.jpg" for number in range(rows)]
        if extension == ".parquet":
            pq.write_table(pa.table({"image": images}), path, row_group_size=100)
        elif extension == ".jsonl":
            path.write_bytes(_jsonl(*({"image": image} for image in images)))
        else:
            body = "\n".join(["image", *images]).encode()
            path.write_bytes(gzip.compress(body, mtime=0) if extension.endswith(".gz") else body)
        return _source(str(path))

    few, many = source(200), source(2000)
    # What is imported or cached at the first reading does not count.
    _peak(few, rows=200)
    assert _peak(many, rows=2000) < 1.5 * _peak(few, rows=200)


class _EndlessFile(io.RawIOBase):
    """A manifest that would never end, and counts how much of it was read."""

    sent = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        line = b'{"image": "s3://bucket/people/0000000.jpg"}\n'
        size = len(buffer) // len(line) * len(line)
        buffer[:size] = line * (size // len(line))
        self.sent += size
        return size


@pytest.fixture
def s3_sends(monkeypatch: pytest.MonkeyPatch) -> Callable[[io.RawIOBase, int | None], None]:
    """Let S3 answer every request for an object with some stream, said to be so many bytes long."""

    def send(stream: io.RawIOBase, length: int | None) -> None:
        client = mock.Mock(spec=["get_object"])
        client.get_object.return_value = {"Body": StreamingBody(stream, length)}
        hook = mock.Mock(spec=["get_conn"], get_conn=lambda: client)
        monkeypatch.setattr("airflow_provider_wanx.batch.input.manifests.s3_hook", lambda _: hook)

    return send


def test_a_manifest_in_s3_is_read_only_as_far_as_it_is_wanted(
    s3_sends: Callable[[io.RawIOBase, int | None], None],
) -> None:
    file = _EndlessFile()
    s3_sends(file, None)
    rows = iter(_source("s3://b/m.jsonl"))
    assert len(list(itertools.islice(rows, 5000))) == 5000
    assert file.sent < 300_000
    rows.close()  # type: ignore[attr-defined]
    assert file.closed


def test_a_manifest_of_which_s3_sends_a_part_is_not_taken_for_the_whole(
    s3_sends: Callable[[Any, int | None], None],
) -> None:
    body = b"image\na.png\n"
    s3_sends(io.BytesIO(body), len(body) + 6)
    with pytest.raises(S3Error, match=r": could not read s3://b/m\.csv") as caught:
        list(_source("s3://b/m.csv"))
    assert caught.value.retryable
