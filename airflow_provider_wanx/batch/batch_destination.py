"""Where a batch's results and its ledger go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_wanx.batch.ledger.stored import MAX_OBJECT_BYTES
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.jobs.copying.destinations import S3Destination
from airflow_provider_wanx.jobs.copying.key_template import check_no_ledger
from airflow_provider_wanx.s3.addresses import split_s3_prefix
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.objects import ObjectStore

if TYPE_CHECKING:
    from airflow_provider_wanx.identity import Identity


@dataclass(frozen=True, kw_only=True)
class BatchDestination:
    """Where a batch's results and its ledger go.

    :param prefix: what all keys begin with: empty, or ending in a slash.
    :param owner: the Airflow task that writes there.
    :param results: takes the results.
    """

    prefix: str
    owner: Identity
    results: S3Destination

    @property
    def url(self) -> str:
        """``s3://bucket/prefix/``."""
        return f"s3://{self.results.bucket}/{self.prefix}"

    def store(self, name: str = "") -> ObjectStore:
        """Return the small objects below the destination."""
        return ObjectStore(
            self.results.client,
            bucket=self.results.bucket,
            prefix=self.prefix + name,
            max_bytes=MAX_OBJECT_BYTES,
            metadata=self.results.metadata,
        )

    def upload(self, path: Path, name: str, content_type: str) -> None:
        """Put a local file below the destination.

        :raises S3Error: S3 does not take it.
        """
        with s3_errors(f"write {self.url}{name}"), path.open("rb") as file:
            arguments = {"ContentType": content_type, "Metadata": self.results.metadata}
            self.results.client.upload_fileobj(
                file, self.results.bucket, self.prefix + name, ExtraArgs=arguments
            )


def split_destination(url: str) -> tuple[str | None, str, str]:
    """Read a destination.

    :param url: ``s3://bucket/prefix`` or ``s3://conn_id@bucket/prefix``.
    :return: connection id or None, bucket, prefix: empty or with a slash at its end.
    :raises InvalidInputError: it is none.
    """
    if not url.strip().startswith("s3://"):
        raise InvalidInputError(f"destination {quoted(url)} is not like s3://bucket/prefix/.")
    conn_id, bucket, prefix = split_s3_prefix(url.strip())
    check_no_ledger(prefix)
    return conn_id, bucket, prefix
