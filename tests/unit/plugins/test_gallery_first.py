from __future__ import annotations
import time
from tests.unit.plugins.gallery_world import *


def test_it(world, admin, store):
    world.copy(entry("task-1"), entry("task-2", source="https://x/y.png?sig=1"), dag_id="faces")
    store.put_object(Bucket=PICTURES, Key="results/task-1.png", Body=portrait(), Metadata=origin())
    store.put_object(Bucket=PICTURES, Key="faces/ada.png", Body=portrait("red"))
    for path in (
        "/",
        "/dags/faces",
        f"/dags/faces/runs/{RUN}",
        f"/dags/faces/runs/{RUN}/tasks/copy",
        f"/dags/faces/runs/{RUN}/tasks/copy/-1/results/0",
        f"/dags/faces/runs/{RUN}/tasks/copy/-1/results/0/result",
        f"/dags/faces/runs/{RUN}/tasks/copy/-1/results/0/source?size=small",
        f"/dags/faces/runs/{RUN}/tasks/copy/-1/results/1/result",
        "/nope",
        "/static/gallery.css",
    ):
        a = admin.get(path)
        print(path, a.status_code, a.headers.get("content-type"), len(a.content))
        if a.status_code >= 500 or path.endswith("results/0"):
            print(a.text)
    print(a.headers)


def test_many(world, admin):
    world.many(10, 1000)
    for path in (
        "/",
        "/dags/faces/runs/run-3",
        "/dags/faces/runs/run-3?page=30",
        "/dags/faces/runs/run-3/tasks/copy/7/results/0",
    ):
        with counted() as c:
            t = time.perf_counter()
            a = admin.get(path)
            print(path, a.status_code, time.perf_counter() - t, len(c), len(a.content))
    world.clear()
    world.many(10000, 1)
    for path in ("/", "/dags/faces/runs/run-3"):
        with counted() as c:
            t = time.perf_counter()
            a = admin.get(path)
            print(path, a.status_code, time.perf_counter() - t, len(c), len(a.content))
