"""The sections about batches of docs/performance.md."""

from __future__ import annotations

from tests.benchmarks.tables import Column, Row, Rows, number, section, table


@section("bulk")
def bulk(found: Rows) -> str:
    """One task for a thousand images beside mapped tasks."""
    columns: list[Column] = [
        ("", lambda row: {"bulk": "one task", "mapped": "submit, wait and copy, mapped"}[row["client"]]),
        ("images", number("n")),
        ("took", number("seconds", unit=" s")),
        ("of the ideal", lambda row: f"{row['seconds'] / row['ideal_seconds'] * 100:.0f} %"),
        ("worker seconds an image", number("worker_seconds_per_image", digits=2)),
        ("refused", number("refused")),
    ]
    kinds = sorted({name for row in found for name in row if name.endswith(" per image")})
    requests: list[Column] = [
        ("requests an image", lambda row: row["kind"]),
        ("one task", number("bulk", digits=2)),
        ("mapped", number("mapped", digits=2)),
    ]
    by_kind = [
        {"kind": kind.removesuffix(" per image"), **{row["client"]: row.get(kind) for row in found}}
        for kind in kinds
    ]
    return (
        "## Batches\n\nOn a real Airflow, with an account whose clocks run faster, so that an image takes "
        f"{found[0]['ideal_seconds'] / found[0]['n']:g} s; the longest wait of a finished result and the pace of submissions are scaled with it, the waiting to three times its usual pace. What Airflow and "
        "the worker need is not. The ideal is what the service takes for the images alone. Worker seconds are the time for which tasks "
        "are in the state *running*.\n\n" + table(found, columns) + "\n" + table(by_kind, requests)
    )


@section("plans")
def plans(found: Rows) -> str:
    """Planning and going on."""
    columns: list[Column] = [
        ("", lambda row: str(row["client"])),
        ("took", number("seconds", digits=1, unit=" s")),
        ("peak memory", number("peak_megabytes", unit=" MB")),
        (
            "of which Airflow and imports",
            lambda row: f"{row['peak_megabytes'] - row['own_megabytes']:,.0f} MB",
        ),
    ]
    return "### Plan and go on\n\nFresh processes, ledger in a local S3.\n\n" + table(found, columns)


@section("copying")
def copying(found: Rows) -> str:
    """Copying beside boto3."""
    columns: list[Column] = [
        ("", lambda row: f"{row['n']} × {row['file']}: {row['client']}"),
        ("link to S3", lambda row: f"{row['link']} MB/s" if row["link"] else "this machine's memory"),
        ("MB/s", number("megabytes_per_second")),
        ("of boto3's", lambda row: _share_of_boto3(row, found)),
        ("CPU a GB", number("cpu_seconds_per_gigabyte", digits=1, unit=" s")),
        ("memory for the copies", number("own_megabytes", unit=" MB")),
    ]
    return (
        "### Copy results\n\nEight at a time. This package downloads each file, hashes it and checks it while it uploads it; boto3 "
        "only uploads bytes that are in memory already. *Socket to boto3* is the least that a copy costs: it receives, hashes and "
        "uploads without any check. Source and store make up or drop their bytes, in processes of their own on the same "
        "machine.\n\n" + table(found, columns)
    )


def _share_of_boto3(row: Row, rows: Rows) -> str:
    (whole,) = [
        other["megabytes_per_second"]
        for other in rows
        if other["client"] == "boto3" and (other["file"], other["link"]) == (row["file"], row["link"])
    ]
    return f"{row['megabytes_per_second'] / whole * 100:.0f} %"


@section("dry-runs")
def dry_runs(found: Rows) -> str:
    """What a dry run reads and says."""
    columns: list[Column] = [
        ("", lambda row: str(row["client"])),
        ("took", number("seconds", unit=" s")),
        ("read of a picture", lambda row: f"{row['bytes_per_image']:,.0f} of {row['picture_bytes']:,} bytes"),
        ("cost", number("cost", digits=2, unit=" CNY")),
        ("seconds an image, said", number("seconds_per_image_said", digits=2)),
        ("in a real run of 300", number("seconds_per_image_real", digits=2)),
    ]
    return (
        "### Dry run\n\nWith jobs of 1 s, after a real run on the same account. Bytes are counted between the worker and S3, with all "
        "headers and listings.\n\n" + table(found, columns)
    )


SECTIONS = (bulk, plans, copying, dry_runs)
