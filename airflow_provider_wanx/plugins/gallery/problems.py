"""What can be wrong with what somebody wants to see, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A reason why something cannot be shown.

    :param status: HTTP status of the answer.
    :param title: what is wrong, in a few words; it also stands in place of a picture.
    :param advice: what can be done.
    """

    status: int
    title: str
    advice: str


NOT_LOGGED_IN = Problem(401, "You are not logged in", "Log in to Airflow, then load this page again.")
NO_PERMISSION = Problem(
    403,
    "You may not see this",
    "The gallery shows a DAG's pictures to those who may read the DAG and its XComs. Ask an administrator of this Airflow for "
    "these permissions.",
)
NO_PAGE = Problem(404, "There is no such page", "Go to the list of runs, and choose from there.")
NO_RUN = Problem(
    404,
    "There is no such run",
    "The run or its DAG was deleted from Airflow, or the address is wrong. Pictures that were copied are still in S3.",
)
NO_RESULT = Problem(
    404,
    "There is no such result",
    "The task was cleared and made others since, or the address is wrong. Go to the run, and choose from there.",
)
FAILURE = Problem(
    500, "Something went wrong", "The API server's log has the details. Load the page again in a moment."
)

UNREADABLE_MANIFEST = Problem(
    422,
    "The manifest cannot be read",
    "The XCom return_value of the task is not what the copy writes: it was changed, is kept by an XCom backend of your own, or "
    "comes from another version. Clear the task to have it written anew; objects that exist are replaced by the same ones.",
)
NO_MANIFEST = Problem(
    404,
    "There is no manifest yet",
    "The batch writes its manifest when it ends, and its pictures are shown from then on. Those that are done are in S3.",
)
NO_FIGURES = Problem(
    404,
    "There are no figures yet",
    "The batch writes them to status.json as soon as it has submitted its first images.",
)
UNREADABLE_BATCH = Problem(
    422,
    "The manifest cannot be read",
    "manifest.jsonl and manifest.index.json in the batch's destination do not belong together, or are no manifest. Another run "
    "over this destination writes both anew and pays for nothing twice.",
)

NO_CONNECTION = Problem(
    424,
    "The gallery has no AWS connection",
    "It reads through the connections in [dashscope] gallery_conn_ids, by default aws_default. At least one must exist for the "
    "API server, be of type aws, and hold credentials. The server's own are used only with gallery_ambient_credentials.",
)
NO_S3 = Problem(
    503, "S3 cannot be reached", "The API server could not reach S3 with the AWS connection. Try again later."
)
NOT_SHOWN = Problem(
    404,
    "The object cannot be shown",
    "This task has written no such object where the gallery may read. It may have been deleted, archived or replaced since, "
    "or kept from an earlier run, or lie outside of [dashscope] gallery_conn_ids and gallery_buckets. The API server's log has "
    "the details. Within 24 hours of the submission, clear the copy to have it copied again.",
)
TOO_LARGE = Problem(413, "The picture is too large to be shown", "Open the object in S3.")
NO_PICTURE = Problem(415, "The object is no picture", "Open the object in S3.")
NO_SOURCE = Problem(
    404,
    "The portrait cannot be shown",
    "Of portraits elsewhere, the address is shown. One in S3 must lie in the bucket of its result or in one that the "
    "administrator has named in [dashscope] gallery_buckets.",
)
