"""Nobody reaches through the gallery, with its credentials, what they may not reach with their own.

Airflow's own application, auth manager and API; local S3 with an account for each team, which refuses the other.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.plugins.gallery_world import origin, portrait
from tests.unit.support.airflow_names import AIRFLOW
from tests.unit.support.s3 import client

pytestmark = pytest.mark.needs_airflow("3.2", "teams in the gallery")

if AIRFLOW >= (3, 2):
    from tests.unit.plugins.team_world import (
        RUN,
        add_connection,
        log_in,
        make_account,
        make_airflow,
        owner,
    )

RESULT = "/dags/{}/runs/run/tasks/copy/-1/results/0"
BATCH = "/dags/{}/runs/run/tasks/repaint"


class World:
    """Two teams with a bucket each, of accounts that do not let each other in, and one user of each.

    ``mallory`` of red may edit XComs and see no connection; ``bob`` of blue likewise; ``root`` sees everything.
    """

    def __init__(self, http: Any, manager: Any, url: str, keys: dict[str, dict[str, str]]) -> None:
        self.root = log_in(http, manager, "root", role="ADMIN", teams=[])
        self.mallory = log_in(http, manager, "mallory", role="USER", teams=["red"])
        self.bob = log_in(http, manager, "bob", role="USER", teams=["blue"])
        self.s3 = {team: client(url, **keys[team]) for team in keys}
        self.buckets = {team: f"{team}-{uuid.uuid4()}" for team in keys}
        for team, bucket in self.buckets.items():
            self.s3[team].create_bucket(Bucket=bucket)

    def put(self, team: str, key: str, body: bytes, metadata: dict[str, str] | None = None) -> dict[str, Any]:
        """Store an object; return the entry of a copy's manifest for it."""
        self.s3[team].put_object(Bucket=self.buckets[team], Key=key, Body=body, Metadata=metadata or {})
        return entry(self.buckets[team], key)

    def batch(self, team: str, row: dict[str, Any], metadata: dict[str, str]) -> None:
        """Store what a batch of one row has left below ``bulk/``."""
        line = json.dumps(row).encode() + b"\n"
        index = {"rows": 1, "step": 100, "bytes": len(line), "offsets": [0]}
        status = {"state": "finished", "images": 1, "succeeded": 1}
        for name, body in {
            "manifest.jsonl": line,
            "manifest.index.json": json.dumps(index).encode(),
            "status.json": json.dumps(status).encode(),
        }.items():
            self.put(team, f"bulk/{name}", body, metadata)


def entry(bucket: str, key: str, source: str | None = None, task: str = "task-1") -> dict[str, Any]:
    """An entry of a copy's manifest, or a row of a batch's."""
    return {
        "bucket": bucket,
        "key": key,
        "dashscope_task_id": task,
        "content_type": "image/png",
        "source": source,
    }


@pytest.fixture(scope="session")
def airflow(tables: None) -> Iterator[Any]:
    """The API server and its auth manager."""
    from airflow.api_fastapi import app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
        patch.setattr(app._AuthManagerState, "instance", None)
        with make_airflow("red", "blue") as http:
            yield http, app.get_auth_manager()
            patch.undo()


@pytest.fixture(scope="session")
def keys(s3_url: str) -> dict[str, dict[str, str]]:
    """An account for each team, and their connections."""
    keys = {"red": make_account("111111111111"), "blue": make_account("222222222222")}
    add_connection("red_s3", s3_url, keys["red"], team="red")
    add_connection("blue_s3", s3_url, keys["blue"], team="blue")
    return keys


@pytest.fixture
def world(
    airflow: Any, keys: dict[str, dict[str, str]], s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    from airflow.api_fastapi import app

    http, manager = airflow
    for name, value in {
        "AIRFLOW__CORE__MULTI_TEAM": "True",
        "AIRFLOW__DASHSCOPE__GALLERY_CONN_IDS": "red_s3, blue_s3",
        "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "false",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(app._AuthManagerState, "instance", manager)
    world = World(http, manager, s3_url, keys)
    for dag_id in ("red_dag", "blue_dag"):
        made = world.root.ask("POST", f"/dags/{dag_id}/dagRuns", dag_run_id=RUN, logical_date=None)
        assert made.is_success, made.text
    yield world
    for dag_id in ("red_dag", "blue_dag"):
        world.root.ask("DELETE", f"/dags/{dag_id}/dagRuns/{RUN}")


def test_the_honest_way_shows_each_team_its_own_pictures_and_not_the_others(world: World) -> None:
    for team, user in (("red", world.mallory), ("blue", world.bob)):
        dag_id, other = f"{team}_dag", "blue_dag" if team == "red" else "red_dag"
        source = f"s3://{world.buckets[team]}/ada.png"
        made = world.put(team, "r.png", portrait(), origin(source, owner=owner(dag_id)))
        world.put(team, "ada.png", portrait("red"))
        user.say_copied(dag_id, made | {"source": source})
        for which in ("result", "source"):
            for size in ("small", "full"):
                assert user.get(f"{RESULT.format(dag_id)}/{which}", size=size).status_code == 200
        assert user.get(RESULT.format(other)).status_code == 403
        assert user.ask("GET", "/connections/blue_s3").status_code == 403


def test_a_batch_is_shown_to_its_team(world: World) -> None:
    mine = owner("blue_dag", "repaint")
    made = world.put("blue", "bulk/r.png", portrait(), origin(None, owner=mine))
    world.batch("blue", made, mine)
    world.bob.say_batch("blue_dag", world.buckets["blue"], "bulk/")
    page = world.bob.get(BATCH.format("blue_dag"))
    assert "cannot be" not in page.text
    assert world.bob.get(f"{BATCH.format('blue_dag')}/-1/results/0/result").status_code == 200


class TestForgedXComs:
    """What somebody gets who may write the XComs of one DAG, and nothing else."""

    def test_a_batch_of_another_team_by_its_connection_bucket_and_prefix(self, world: World) -> None:
        theirs = owner("blue_dag", "repaint")
        made = world.put("blue", "bulk/r.png", portrait(), origin(None, owner=theirs))
        world.batch("blue", made, theirs)
        world.mallory.say_batch("red_dag", world.buckets["blue"], "bulk/", aws_conn_id="blue_s3")
        page = world.mallory.get(BATCH.format("red_dag"))
        assert "bulk/r.png" not in page.text.replace(f"s3://{world.buckets['blue']}/bulk/", "")
        assert 'class="tile"' not in page.text
        assert world.mallory.get(f"{BATCH.format('red_dag')}/-1/results/0/result").status_code == 404

    @pytest.mark.parametrize("shared", [False, True], ids=["their_connection", "a_shared_connection"])
    def test_a_result_of_another_team(
        self, world: World, monkeypatch: pytest.MonkeyPatch, shared: bool
    ) -> None:
        if shared:
            # As if both teams' buckets were open to both connections: then only the object itself tells whose it is.
            monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true")
        theirs = world.put("blue", "r.png", portrait(), origin(None, owner=owner("blue_dag")))
        world.mallory.say_copied("red_dag", theirs, aws_conn_id="blue_s3")
        for size in ("small", "full"):
            assert world.mallory.get(f"{RESULT.format('red_dag')}/result", size=size).status_code == 404

    def test_an_object_that_names_the_task_and_was_written_for_another_teams_connection(
        self, world: World
    ) -> None:
        # It claims to be of the red DAG; red's own connection does not reach it, and blue's is not red's to use.
        theirs = world.put("blue", "r.png", portrait(), origin(None, owner=owner("red_dag")))
        world.mallory.say_copied("red_dag", theirs, aws_conn_id="blue_s3")
        assert world.mallory.get(f"{RESULT.format('red_dag')}/result").status_code == 404

    @pytest.mark.parametrize("conn_id", [None, "", "no_such_connection", "aws_default"])
    def test_no_connection_is_the_servers_own_role(
        self,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        keys: dict[str, dict[str, str]],
        s3_url: str,
        conn_id: str | None,
    ) -> None:
        # What the API server's machine may do by itself, and a connection that adds nothing to it.
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["blue"]["login"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["blue"]["password"])
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__GALLERY_CONN_IDS", "aws_default")
        theirs = world.put("blue", "r.png", portrait(), origin(None, owner=owner("red_dag")))
        world.mallory.say_copied("red_dag", theirs, aws_conn_id=conn_id)
        assert world.mallory.get(f"{RESULT.format('red_dag')}/result").status_code == 424
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__GALLERY_AMBIENT_CREDENTIALS", "True")
        assert world.mallory.get(f"{RESULT.format('red_dag')}/result").status_code == 200

    def test_a_connection_of_another_type_is_none(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://user:secret@127.0.0.1:9")
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__GALLERY_CONN_IDS", "web")
        world.mallory.say_copied("red_dag", entry("red", "r.png"), aws_conn_id="web")
        assert world.mallory.get(f"{RESULT.format('red_dag')}/result").status_code == 424


class TestForgedManifests:
    """What somebody gets who may write one bucket too, and so forge what an object says of itself."""

    @pytest.mark.parametrize("conn_id", ["", "blue_s3@", "red_s3@"])
    @pytest.mark.parametrize("shared", [False, True], ids=["accounts_apart", "one_account"])
    def test_a_portrait_elsewhere(
        self, world: World, monkeypatch: pytest.MonkeyPatch, shared: bool, conn_id: str
    ) -> None:
        monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", str(shared))
        world.put("blue", "passport.png", portrait())
        secret = f"s3://{world.buckets['blue']}/passport.png"
        mine = owner("red_dag", "repaint")
        forged = world.put("red", "bulk/r.png", portrait(), origin(secret, owner=mine))
        world.batch("red", forged | {"source": f"s3://{conn_id}{secret[5:]}"}, mine)
        world.mallory.say_batch("red_dag", world.buckets["red"], "bulk/")
        row = f"{BATCH.format('red_dag')}/-1/results/0"
        assert world.mallory.get(f"{row}/result").status_code == 200
        for size in ("small", "full"):
            assert world.mallory.get(f"{row}/source", size=size).status_code == 404

    def test_a_portrait_elsewhere_is_shown_once_the_administrator_names_its_folder(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true")
        bucket = world.buckets["blue"]
        shown = {
            "open/ada.png": 200,
            "openly/ada.png": 404,
            "closed/ada.png": 404,
            "open/../closed/ada.png": 404,
        }
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__GALLERY_BUCKETS", f"{world.buckets['red']}, {bucket}/open")
        for key, status in shown.items():
            world.put("blue", key, portrait())
            source = f"s3://{bucket}/{key}"
            made = world.put("red", "r.png", portrait(), origin(source, owner=owner("red_dag")))
            world.mallory.say_copied("red_dag", made | {"source": source})
            assert world.mallory.get(f"{RESULT.format('red_dag')}/source").status_code == status, key

    def test_a_result_outside_of_the_named_buckets(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = world.put("red", "r.png", portrait(), origin(None, owner=owner("red_dag")))
        world.mallory.say_copied("red_dag", made)
        for buckets, status in {
            "other": 404,
            f"{world.buckets['red']}/x": 404,
            world.buckets["red"]: 200,
        }.items():
            monkeypatch.setenv("AIRFLOW__DASHSCOPE__GALLERY_BUCKETS", buckets)
            assert world.mallory.get(f"{RESULT.format('red_dag')}/result").status_code == status


def test_nothing_tells_what_is_not_there_from_what_is_not_yours(
    world: World, monkeypatch: pytest.MonkeyPatch, s3_requests: Callable[[], int]
) -> None:
    monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true")
    red, blue = world.buckets["red"], world.buckets["blue"]
    theirs = owner("blue_dag", "repaint")
    for bulk in ("theirs/", "broken/"):
        for name in ("status.json", "manifest.index.json", "manifest.jsonl"):
            world.put("blue", bulk + name, b"{" if bulk == "broken/" else b'{"state": "running"}', theirs)
    world.put("blue", "theirs.png", portrait(), origin(None, owner=owner("blue_dag")))
    world.put("blue", "not-made-by-us.png", portrait())
    world.put("blue", "no-picture.txt", b"secret")
    world.put("blue", "large.bin", bytes(40_000_000))
    copies = [
        (blue, "none.png"),
        (blue, "theirs.png"),
        (blue, "not-made-by-us.png"),
        (blue, "no-picture.txt"),
        (blue, "large.bin"),
        ("no-such-bucket", "none.png"),
        ("NO/BUCKET", "none.png"),
    ]
    told = set()
    for bucket, key in copies:
        world.mallory.say_copied("red_dag", entry(bucket, key))
        for path in ("", "/result", "/result?size=small"):
            before = s3_requests()
            answer = world.mallory.get(RESULT.format("red_dag") + path)
            text = answer.text.replace(f"{bucket}/{key}", "…").replace(key, "…")
            told.add((path, answer.status_code, text, s3_requests() - before if "/" not in bucket else 1))
    assert len(told) == 3
    told = set()
    for bucket, prefix in (
        (red, "none/"),
        (blue, "none/"),
        (blue, "theirs/"),
        (blue, "broken/"),
        ("no-bucket", "none/"),
    ):
        world.mallory.say_batch("red_dag", bucket, prefix)
        before = s3_requests()
        answer = world.mallory.get(BATCH.format("red_dag"))
        told.add((answer.status_code, answer.text.replace(f"{bucket}/{prefix}", "…"), s3_requests() - before))
    assert len(told) == 1


@pytest.fixture
def s3_requests(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the requests that the API server sends to S3."""
    from botocore.httpsession import URLLib3Session
    from moto.core import botocore_stubber

    asked = []
    answer = botocore_stubber.BotocoreStubber.process_request

    def noted(self: Any, request: Any) -> Any:
        asked.append(request.url)
        return answer(self, request)

    assert URLLib3Session
    monkeypatch.setattr(botocore_stubber.BotocoreStubber, "process_request", noted)
    return lambda: len(asked)
