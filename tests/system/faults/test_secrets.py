"""After a run full of failures: no key and no signature in anything that Airflow keeps."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

from tests.system.faults.support.bench import DATA, Bench
from tests.system.faults.support.leaks import Leaks, files, tables, trigger_rows
from tests.system.faults.support.run import Run

_HOME = DATA / "airflow"

# The rows that let the service quote keys and signatures, and those that make signed URLs.
_SEEDED = {"key_refused", "task_refused", "url_expired", "download_truncated", "cleared_after_change"}


def _everything(bench: Bench) -> Iterator[tuple[str, str]]:
    waits = trigger_rows(bench.observer.trigger_rows.values(), fernet_key=bench.fernet_key)
    return itertools.chain(tables(bench.database.dsn), waits, files(_HOME))


def test_no_key_and_no_signature_is_in_any_table_trigger_or_log(bench: Bench) -> None:
    bench.finish()
    leaks = Leaks(secrets=[*bench.keys, bench.aws_secret])
    assert leaks.find(_everything(bench)) == {}


def test_the_run_had_secrets_to_leak_and_waits_to_leak_them(bench: Bench) -> None:
    bench.finish()
    played = {fault.id for fault in bench.faults}
    assert played >= _SEEDED
    rows = bench.observer.trigger_rows.values()
    waits = [row for row in rows if "DashScopeTaskTrigger" in row]
    # A batch has one wait for all of its images.
    mapped = [fault for fault in bench.faults if fault.images >= 100 and fault.id != "bulk_killed"]
    assert len(waits) >= sum(fault.images for fault in mapped)
    assert any("DashScopeBatchTrigger" in row for row in rows)


def test_a_planted_secret_is_found_wherever_it_was_planted(bench: Bench) -> None:
    bench.finish()
    secret = f"sk-planted-{secrets.token_hex(12)}"
    api = bench.stack.airflow.api
    run_id = api.trigger(dag_id="planted", conf={"row": "planted", "words": secret})
    Run(api=api, observer=bench.observer, dag_id="planted", run_id=run_id).ends("failed")
    found = Leaks(secrets=[secret]).find(_everything(bench))
    log = f"file logs/dag_id=planted/run_id={run_id}/task_id=careless/attempt=1.log"
    assert {
        log,
        "table dag_run",
        "table log",
        "table rendered_task_instance_fields",
        "table task_state_store",
        "table trigger, earlier",
        "table xcom",
    } <= set(found)
    # In an exception, and nowhere else, it stands backwards.
    assert log in Leaks(secrets=[secret[::-1]]).find(_everything(bench))
    text = "http://127.0.0.1/x.jpg?X-Amz-Signature=0123456789abcdef and Signature%3Dabcdefghijkl"
    assert Leaks(secrets=[]).find([("a text", text)])
