"""The gallery's pages: who sees them, what they show, and what they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import reduce
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.plugins.gallery.pages import CONTENT_SECURITY_POLICY
from airflow_provider_wanx.plugins.wanx_gallery import PREFIX, WanxGalleryPlugin
from tests.unit.plugins.gallery_world import (
    PICTURES,
    RUN,
    Browser,
    World,
    counted,
    database,
    entry,
    origin,
    owned,
    portrait,
)
from tests.unit.support.airflow_names import AIRFLOW

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

ATTACK = "<script>attacked=1</script>\"'><img src=x onerror=attacked=1>\u202egnp.exe"
TASK = f"/dags/faces/runs/{RUN}/tasks/copy"
RESULT = f"{TASK}/-1/results/0"
XCOMS = "xcom_v2" if AIRFLOW >= (3, 4) else "xcom"


def routes(dag_id: str) -> list[str]:
    """Every route that shows something of a DAG."""
    task = f"/dags/{dag_id}/runs/{RUN}/tasks/copy"
    result = f"{task}/-1/results/0"
    return [
        f"/here?dag_id={dag_id}",
        f"/dags/{dag_id}",
        f"/dags/{dag_id}/tasks/copy",
        f"/dags/{dag_id}/runs/{RUN}",
        task,
        f"{task}?map_index=-1",
        result,
        f"{result}/result",
        f"{result}/result?size=small",
        f"{result}/source",
        f"{result}/source?size=small",
    ]


class TestAccess:
    """Nobody sees more here than in Airflow's own pages."""

    @pytest.mark.parametrize("dag_id", ["secret", "quiet"])
    def test_a_user_who_may_not_read_a_dags_xcoms_gets_nothing_from_any_route(
        self, world: World, as_user: Callable[[str], Browser], store: Any, dag_id: str
    ) -> None:
        world.copy(entry(), dag_id=dag_id)
        metadata = origin(owner=owned(dag_id))
        store.put_object(Bucket=PICTURES, Key="results/task-1.png", Body=portrait(), Metadata=metadata)
        store.put_object(Bucket=PICTURES, Key="faces/ada.png", Body=portrait())
        for path in routes(dag_id):
            assert as_user("admin").get(path).status_code == 200, path
            answer = as_user("viewer").get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
            assert "You may not see this" in answer.text
            assert "task-1" not in answer.text

    def test_the_list_shows_only_dags_whose_xcoms_the_user_may_read(
        self, world: World, as_user: Callable[[str], Browser]
    ) -> None:
        for dag_id in ("faces", "secret", "quiet"):
            world.copy(entry(), dag_id=dag_id)
        shown = {
            name: set(re.findall(r'<td><a href="[^"]+/dags/(\w+)">', as_user(name).get("/").text))
            for name in ("admin", "viewer")
        }
        assert shown == {"admin": {"faces", "secret", "quiet"}, "viewer": {"faces"}}

    def test_who_is_not_logged_in_is_asked_to(self, world: World, as_user: Callable[[str], Browser]) -> None:
        world.copy(entry())
        for path in ["/", *routes("faces")]:
            answer = as_user("nobody").get(path)
            assert answer.status_code == 401, path
            assert '<a data-top href="/auth/login">Log in</a>' in answer.text

    def test_style_and_script_are_in_everybodys_hands_and_nothing_else_is(
        self, as_user: Callable[[str], Browser]
    ) -> None:
        nobody = as_user("nobody")
        for name, kind in {
            "gallery.css": "text/css",
            "gallery.js": "text/javascript",
            "icon.svg": "image/svg+xml",
        }.items():
            assert nobody.get(f"/static/{name}").headers["content-type"].startswith(kind)
        for name in ("..%2fapp.py", "%2e%2e/app.py", "app.py", "gallery.css%00", ".."):
            assert nobody.get(f"/static/{name}").status_code in (401, 404), name


class TestCost:
    """What ten thousand results cost."""

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/dags/faces",
            "/dags/faces/tasks/copy",
            "/dags/faces/runs/run-1",
            "/dags/faces/runs/run-1/tasks/copy",
        ],
    )
    def test_no_query_more_is_needed_for_more_runs_and_results(
        self, world: World, admin: Browser, path: str
    ) -> None:
        asked = []
        for runs, copies in ((2, 2), (22, 8)):
            world.many(runs, copies)
            # Airflow looks up once whether the user's token was revoked.
            admin.get(path)
            with counted() as statements:
                answer = admin.get(path)
            assert answer.status_code == 200
            asked.append([re.sub(r"[(), ?]+", " ", statement) for statement in statements])
            world.clear()
        assert asked[0] == asked[1]
        assert len(asked[0]) <= 8

    def test_a_list_adds_up_what_mapped_copies_have_left(self, world: World, admin: Browser) -> None:
        world.many(1, 150)
        world.copy(entry(), entry("task-2", cost=None), run_id="run-1", task_id="other")
        (row,) = re.findall(r"<tr>\n<td>.*?</tr>", admin.get("/").text, re.DOTALL)
        assert re.findall(r'<td class="amount">([^<]*)<', row) == ["152", "18.12 CNY"]
        assert row.count("<img") == 4

    def test_runs_come_in_pages_the_latest_first(self, world: World, admin: Browser) -> None:
        world.many(45, 1)
        world.run("plain", "without-pictures", number=99)
        shown, links = [], []
        query: dict[str, Any] = {}
        for _ in range(3):
            page = admin.get("/", **query).text
            shown.append(re.findall(r'class="run"[^>]*><bdi>(run-\d+)</bdi>', page))
            links.append(re.findall(r'rel="(prev|next)"', page))
            older = re.search(r'rel="next" href="[^"]*\?before=(\d+)"', page)
            query = {"before": older[1]} if older else {}
        assert [run for page in shown for run in page] == [f"run-{number}" for number in range(45, 0, -1)]
        assert [len(page) for page in shown] == [20, 20, 5]
        assert links == [["next"], ["prev", "next"], ["prev"]]
        assert "No older run has pictures" in admin.get("/", before=1).text

    def test_a_run_with_pictures_is_found_below_many_without(
        self, world: World, admin: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_wanx.plugins.gallery import runs

        monkeypatch.setattr(runs, "STEP", 10)
        monkeypatch.setattr(runs, "STEPS", 3)
        world.copy(entry(), run_id="old")
        for number in range(50):
            world.run("plain", f"plain-{number}")
        page = admin.get("/").text
        (before,) = re.findall(r'rel="next" href="[^"]*\?before=(\d+)"', page)
        assert "old" not in re.findall(r'class="run"[^>]*><bdi>([^<]+)', page)
        assert re.findall(r'class="run"[^>]*><bdi>([^<]+)', admin.get("/", before=before).text) == ["old"]
        assert re.findall(r'class="run"[^>]*><bdi>([^<]+)', admin.get("/dags/faces").text) == ["old"]

    def test_results_of_a_run_come_in_pages_across_its_tasks(self, world: World, admin: Browser) -> None:
        for task_id in ("a", "b"):
            for map_index in range(3):
                names = [f"{task_id}{map_index}{number}" for number in range(5)]
                world.copy(
                    *(entry(each, source=f"s3://pictures/{each}.png") for each in names),
                    task_id=task_id,
                    map_index=map_index,
                )
        pages = [admin.get(f"/dags/faces/runs/{RUN}", page=page).text for page in (1, 2)]
        shown = [re.findall(r'class="name"><bdi>(\w+)\.png', page) for page in pages]
        expected = [f"{task}{copy}{number}" for task in "ab" for copy in range(3) for number in range(5)]
        assert shown == [expected[:24], expected[24:]]


class TestContent:
    """What a page shows of a result."""

    def test_a_tile_has_portrait_and_result_style_time_and_cost(self, world: World, admin: Browser) -> None:
        world.copy(entry())
        page = admin.get(f"/dags/faces/runs/{RUN}").text
        assert re.findall(r"/results/0/(\w+)\?size=small", page) == ["source", "result"]
        for fact in ("ada.png", "31 · clay world · 黏土世界", "14 s", "0.12 CNY", "1.2 kB"):
            assert fact in page

    def test_a_results_page_leads_to_task_log_and_object(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        metadata = origin(owner=owned(map_index=2))
        store.put_object(Bucket=PICTURES, Key="results/task-1.png", Body=portrait(), Metadata=metadata)
        world.copy(entry(), map_index=2)
        page = admin.get(f"{TASK}/2/results/0").text
        run = RUN.replace(":", "%3A").replace("+", "%2B")
        task = f"/dags/faces/runs/{run}/tasks/copy/mapped/2"
        assert f'href="{task}/details"' in page
        assert f'href="{task}">Log</a>' in page
        assert "s3://pictures/results/task-1.png" in page

    def test_results_know_their_neighbours(self, world: World, admin: Browser, store: Any) -> None:
        world.copy(entry(), entry(), task_id="a")
        world.copy(entry(), task_id="b")
        found = [
            re.findall(
                r'rel="(\w+)" href="[^"]*/tasks/(.*?)"',
                admin.get(f"/dags/faces/runs/{RUN}/tasks/{place}").text,
            )
            for place in ("a/-1/results/0", "a/-1/results/1", "b/-1/results/0")
        ]
        assert found == [
            [("next", "a/-1/results/1")],
            [("prev", "a/-1/results/0"), ("next", "b/-1/results/0")],
            [("prev", "a/-1/results/1")],
        ]

    def test_a_task_without_pictures_shows_those_of_its_run_or_of_its_mapped_copy(
        self, world: World, admin: Browser
    ) -> None:
        for map_index in (0, 1):
            world.copy(entry(source=f"s3://pictures/{map_index}.png"), map_index=map_index)
        for index, names in {"-1": ["0", "1"], "1": ["1"]}.items():
            page = admin.get(f"/dags/faces/runs/{RUN}/tasks/wait", map_index=index).text
            assert re.findall(r'class="name"><bdi>(\d)\.png', page) == names
            assert "has put no pictures into S3 itself" in page

    def test_another_models_result_needs_neither_style_nor_cost(self, world: World, admin: Browser) -> None:
        film = {
            "style": None,
            "cost": None,
            "source": None,
            "content_type": "video/mp4",
            "key": "films/1.mp4",
        }
        world.copy(entry(**film))
        page = admin.get(f"/dags/faces/runs/{RUN}").text
        assert "video/mp4" in page
        assert "<img" not in page


class TestTabs:
    """Tabs of Airflow's pages."""

    @pytest.mark.parametrize(
        ("known", "page"),
        [
            ({}, "/"),
            ({"DAG_ID": "faces"}, "/dags/faces"),
            ({"DAG_ID": "faces", "TASK_ID": "copy"}, "/dags/faces/tasks/copy"),
            ({"DAG_ID": "faces", "RUN_ID": "r+1"}, "/dags/faces/runs/r%2B1"),
            (
                {"DAG_ID": "faces", "RUN_ID": "r+1", "TASK_ID": "g.copy"},
                "/dags/faces/runs/r%2B1/tasks/g.copy?map_index=-1",
            ),
            (
                {"DAG_ID": "faces", "RUN_ID": "r", "TASK_ID": "copy", "MAP_INDEX": "7"},
                "/dags/faces/runs/r/tasks/copy?map_index=7",
            ),
        ],
    )
    def test_every_tab_leads_to_what_airflow_shows_at_the_moment(
        self, world: World, admin: Browser, known: dict[str, str], page: str
    ) -> None:
        views = {view["destination"]: view["href"] for view in WanxGalleryPlugin.external_views}
        assert views.pop("nav") == f"{PREFIX}/"
        assert set(views) == {"dag", "task", "dag_run", "task_instance"}
        for href in views.values():
            filled = reduce(
                lambda text, item: text.replace(f"{{{item[0]}}}", quote(item[1], safe="")),
                known.items(),
                href,
            )
            answer = admin.client.get(
                filled, headers={"Authorization": f"Bearer {admin.token}"}, follow_redirects=False
            )
            assert (answer.status_code, answer.headers["location"]) == (303, PREFIX + page)


class TestStrangers:
    """Data that others may have written."""

    @pytest.mark.parametrize(
        "mark",
        [
            None,
            7,
            "no JSON",
            [],
            {},
            {"version": 2},
            {"version": 1, "kind": "other"},
            {"version": 1, "kind": "copy", "images": -1},
            {"version": 1, "kind": "copy", "images": 10**40},
            {"version": 1, "kind": "copy", "images": 1, "cost": "free"},
        ],
    )
    def test_an_xcom_that_is_no_mark_is_passed_over(self, world: World, admin: Browser, mark: Any) -> None:
        world.task({MARK: mark, "return_value": [entry()]}, task_id="foreign")
        world.copy(entry())
        assert re.findall(r'<td class="amount">([^<]*)<', admin.get("/").text) == ["1", "0.12 CNY"]
        assert admin.get(f"/dags/faces/runs/{RUN}").text.count('class="tile"') == 1
        assert admin.get(f"/dags/faces/runs/{RUN}/tasks/foreign/-1/results/0").status_code == 404

    @pytest.mark.parametrize("stored", ["[" * 100_000, json.dumps("[" * 100_000), "[" * 9000 + "]" * 9000])
    def test_a_mark_that_is_nested_without_end_breaks_no_list(
        self, world: World, admin: Browser, stored: str
    ) -> None:
        world.copy(entry())
        world.task({MARK: 0}, task_id="foreign")
        with database().begin() as connection:
            # As text: no Python would write it.
            connection.execute(
                sa.text(f"UPDATE {XCOMS} SET value = :stored WHERE key = :key AND value IN ('0', '\"0\"')"),
                {"stored": stored, "key": MARK},
            )
        for path in ("/", f"/dags/faces/runs/{RUN}"):
            assert admin.get(path).status_code == 200
        assert re.findall(r'<td class="amount">([^<]*)<', admin.get("/").text) == ["1", "0.12 CNY"]

    @pytest.mark.parametrize(
        "manifest",
        [None, 7, "text", {}, [7], [[]], [{"bucket": 1}], [{"key": "k" * 5000}], [{"style": "<b>"}], []],
    )
    def test_a_manifest_that_is_none_is_told_of(self, world: World, admin: Browser, manifest: Any) -> None:
        world.copy(entry(), return_value=manifest)
        page = admin.get(f"/dags/faces/runs/{RUN}")
        assert page.status_code == 200
        assert "The manifest cannot be read" in page.text
        assert admin.get(RESULT).status_code == 404
        assert admin.get(f"{RESULT}/result").status_code == 404

    def test_what_a_mark_promises_and_the_manifest_lacks_is_told_of(
        self, world: World, admin: Browser
    ) -> None:
        world.task({MARK: {"version": 1, "kind": "copy", "images": 10**9}, "return_value": [entry()]})
        page = admin.get(f"/dags/faces/runs/{RUN}").text
        assert page.count("The manifest cannot be read") == 23
        assert admin.get(f"/dags/faces/runs/{RUN}", page=41_666_667).status_code == 404
        assert admin.get(f"/dags/faces/runs/{RUN}", page=1_000_000).status_code == 200

    def test_nothing_is_taken_for_markup_and_nothing_turns_the_writing_around(
        self, world: World, admin: Browser
    ) -> None:
        fields = ("bucket", "key", "content_type", "dashscope_task_id", "model", "source", "message", "code")
        # No slash: Airflow takes none in its ids.
        own = ATTACK.replace("/", "")
        world.copy(
            entry(**dict.fromkeys(fields, ATTACK)),
            entry(**dict.fromkeys(fields, ATTACK), status="failed"),
            dag_id=own,
            run_id=own,
            task_id=own,
        )
        dag, run, task = (quote(own, safe=""),) * 3
        places = ("/", f"/dags/{dag}", f"/dags/{dag}/runs/{run}", f"/dags/{dag}/runs/{run}/tasks/{task}")
        for path in (*places, f"{places[-1]}/-1/results/0", f"{places[-1]}/-1/results/1"):
            answer = admin.get(path)
            assert answer.status_code == 200, path
            assert "<script>attacked" not in answer.text
            assert "<img src=x" not in answer.text
            # Whatever turns the writing around stands within an element of its own.
            for line in answer.text.splitlines():
                assert "\u202e" not in re.sub(r"<bdi>.*?</bdi>", "", line), line

    @pytest.mark.parametrize(
        "path",
        [
            "/dags/faces/runs/none",
            "/dags/none/runs/none",
            "/dags/none/runs/none/tasks/none",
            f"{TASK}/7/results/0",
            f"{TASK}/-1/results/9",
            f"{TASK}/-1/results/-1",
            f"{TASK}/-1/results/99999999999999999999",
            f"{TASK}/-1/results/0/other",
            f"{TASK}/x/results/0",
            f"{TASK}?map_index=x",
            f"{TASK}?page=0",
            f"{TASK}?page=x",
            "/?before=-1",
            "/?before=99999999999999999999",
            f"{TASK}/-1/results/0?region_id=x",
            "/dags/%00",
            "/dags/faces/runs/%00",
            "/dags/..%2f..%2fetc/runs/passwd",
            "/dags/faces/runs/..%2f..%2f..%2fetc%2fpasswd",
            "/dags/faces/runs/' or 1=1 --",
            "/dags/faces/runs/%ff%fe",
            "/nothing",
        ],
    )
    def test_an_address_that_leads_nowhere_gets_a_calm_page(
        self, world: World, admin: Browser, path: str
    ) -> None:
        world.copy(entry())
        answer = admin.get(path)
        assert answer.status_code == 404
        assert "There is no such" in answer.text
        assert "Traceback" not in answer.text

    def test_every_answer_forbids_whatever_is_not_needed(self, world: World, admin: Browser) -> None:
        world.copy(entry())
        for path in ["/", "/nothing", "/static/gallery.js", *routes("faces"), "/dags/%00"]:
            headers = admin.get(path).headers
            assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] in ("no-store", "private, max-age=60", "public, max-age=300")
        assert "unsafe" not in CONTENT_SECURITY_POLICY

    def test_an_error_that_nobody_has_foreseen_shows_no_trace(
        self, world: World, admin: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_wanx.plugins.gallery import runs

        monkeypatch.setattr(runs, "list_runs", lambda *_, **__: 1 / 0)
        answer = admin.get("/")
        assert answer.status_code == 500
        assert "Something went wrong" in answer.text
        assert "division" not in answer.text
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
