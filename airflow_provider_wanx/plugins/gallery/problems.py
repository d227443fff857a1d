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


class ProblemError(Exception):
    """Something cannot be shown.

    :param problem: the reason.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


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
    "The XCom return_value of the task is not what the copy writes: it was changed, is kept elsewhere by an XCom backend, or "
    "comes from another version. Clear the task to have it written anew; objects that exist are replaced by the same ones.",
)
NO_MANIFEST = Problem(
    404,
    "There is no manifest yet",
    "The batch writes its manifest when it ends, and its pictures are shown from then on. Those that are done are in S3. If it "
    "has ended, it wrote Parquet only: with jsonl in manifest_formats, its next run writes what this page reads.",
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
    "over this destination writes both anew and pays for nothing twice. manifest_formats must include jsonl.",
)

NO_CONNECTION = Problem(
    424,
    "The AWS connection is missing",
    "The connection that has written the object does not exist for the API server, or is none for AWS. Create it, or make its "
    "secrets backend known to the API server too.",
)
NO_S3 = Problem(
    503, "S3 cannot be reached", "The API server could not reach S3 with the AWS connection. Try again later."
)
NO_OBJECT = Problem(
    404,
    "The object is gone",
    "It was deleted, or a lifecycle rule of the bucket has removed it. Within 24 hours of the submission, clear the copy to "
    "have it copied again. Later, the service has it no more either; clearing the submission makes and bills a new one.",
)
NO_BUCKET = Problem(
    404, "The bucket is gone", "It was deleted or renamed. With it went all objects that were in it."
)
NO_ACCESS = Problem(
    403,
    "The AWS connection may not read it",
    "Allow the connection s3:GetObject on the object, and kms:Decrypt on its key if it has one. To those who may not list the "
    "bucket, S3 also says so of objects that do not exist.",
)
ARCHIVED = Problem(409, "The object is archived", "Restore it in S3 before it can be read.")
NOT_OURS = Problem(
    409,
    "The object is another one",
    "What has this key now was not made by the DashScope task that the manifest names, so it is not shown. It was replaced "
    "since, or the copy has kept what it found.",
)
TOO_LARGE = Problem(413, "The picture is too large to be shown", "Open the object in S3.")
NO_PICTURE = Problem(415, "The object is no picture", "Open the object in S3.")
NOT_IN_S3 = Problem(
    404, "The picture is not in S3", "Only pictures in S3 are shown; of others, the address is."
)
