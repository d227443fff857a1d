from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from airflow_provider_wanx.dashscope.errors import ApiError, InvalidInputError, LostAnswerError
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.unit.dashscope.support.scripted_server import (
    Reply,
    Reset,
    Say,
    ScriptedServer,
    Stall,
    say_error,
    say_json,
)
from tests.unit.dashscope.support.shells import Shell

Connect = Callable[..., Shell]
Serve = Callable[..., ScriptedServer]

_EXPIRED = Say(
    status=403,
    body=b"<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>",
)
_EXISTS = Say(
    status=409,
    body=b"<Error><Code>FileAlreadyExists</Code><Message>can not be overwritten</Message></Error>",
)


def _policy(store: ScriptedServer, number: int = 1, **changes: object) -> Reply:
    policy = {
        "policy": f"policy-{number}",
        "signature": f"signature-{number}",
        "upload_dir": f"dashscope-instant/abc/{number}",
        "upload_host": store.url,
        "oss_access_key_id": "LTAI",
        "x_oss_object_acl": "private",
        "x_oss_forbid_overwrite": "true",
        "max_file_size_mb": 1,
    }
    return say_json({"data": policy | changes, "request_id": "r"})


def _keys(store: ScriptedServer) -> list[str]:
    return [_field(seen.body, "key") for seen in store.seen]


def _field(body: bytes, name: str) -> str:
    found = re.search(rf'name="{name}"\r\n\r\n(.*?)\r\n'.encode(), body)
    assert found is not None, name
    return found.group(1).decode()


def _upload(connect: Connect, service: ScriptedServer, **settings: float) -> str:
    return connect(service.url, **settings).upload_file(
        filename="me.png", content=b"\x89PNG bytes", model="m-1"
    )


def test_a_file_goes_to_the_store_as_a_form_under_the_policy(serve: Serve, connect: Connect) -> None:
    store = serve(Say())
    service = serve(_policy(store))

    url = _upload(connect, service)

    (asked,), (sent,) = service.seen, store.seen
    assert asked.query == {"action": ["getPolicy"], "model": ["m-1"]}
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=")
    names = re.findall(rb'; name="([^"]+)"', sent.body)
    assert names[-1] == b"file"  # the store ignores what comes after the file
    assert {name: _field(sent.body, name) for name in ("policy", "Signature", "OSSAccessKeyId")} == {
        "policy": "policy-1",
        "Signature": "signature-1",
        "OSSAccessKeyId": "LTAI",
    }
    assert _field(sent.body, "success_action_status") == "200"
    assert _field(sent.body, "x-oss-forbid-overwrite") == "true"
    assert _field(sent.body, "x-oss-object-acl") == "private"
    assert b'filename="me.png"' in sent.body
    assert b"\x89PNG bytes" in sent.body
    assert url == f"oss://{_field(sent.body, 'key')}"


def test_a_file_that_is_too_large_is_never_sent(serve: Serve, connect: Connect) -> None:
    store = serve()
    service = serve(_policy(store, max_file_size_mb=0))

    with pytest.raises(InvalidInputError, match="0 MB at most"):
        _upload(connect, service)

    assert (len(service.seen), len(store.seen)) == (1, 0)


@pytest.mark.parametrize(
    "trouble", [_EXPIRED, Say(status=500), Say(status=502), Reset()], ids=["expired", "500", "502", "reset"]
)
def test_an_upload_that_failed_starts_anew_with_policy_and_name_of_its_own(
    serve: Serve, connect: Connect, trouble: Reply
) -> None:
    store = serve(trouble, Say())
    service = serve(_policy(store, 1), _policy(store, 2))

    url = _upload(connect, service)

    first, second = _keys(store)
    assert first.startswith("dashscope-instant/abc/1/")
    assert second.startswith("dashscope-instant/abc/2/")
    assert url == f"oss://{second}"


def test_a_store_without_capacity_is_asked_again(serve: Serve, connect: Connect) -> None:
    store = serve(Say(status=503, body=b"<Error><Code>ServiceUnavailable</Code></Error>"), Say())
    service = serve(_policy(store, 1), _policy(store, 2))

    assert _upload(connect, service).startswith("oss://dashscope-instant/abc/")
    assert len(store.seen) == 2


def test_what_the_store_has_certainly_not_taken_is_repeated_for_as_long_as_anything_else(
    serve: Serve, connect: Connect
) -> None:
    busy = Say(status=429, headers={"Retry-After": "0"})
    store = serve(*[busy] * 5, Say())
    service = serve(*[_policy(store, number) for number in range(6)])

    assert _upload(connect, service, retry_for=60).startswith("oss://dashscope-instant/abc/")
    assert (len(service.seen), len(store.seen)) == (1, 6)


def test_an_upload_is_given_up_after_three_policies(serve: Serve, connect: Connect) -> None:
    store = serve(*[_EXPIRED] * 9)
    service = serve(*[_policy(store, number) for number in range(9)])

    with pytest.raises(
        ApiError, match=r"upload me\.png to the temporary store: AccessDenied.*Policy expired"
    ):
        _upload(connect, service)

    assert (len(service.seen), len(store.seen)) == (3, 3)
    assert len(set(_keys(store))) == 3


@pytest.mark.parametrize(
    "refusal", [_EXISTS, Say(status=400), Say(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")]
)
def test_a_refusal_that_will_not_pass_is_not_repeated(serve: Serve, connect: Connect, refusal: Reply) -> None:
    store = serve(refusal)
    service = serve(_policy(store))

    with pytest.raises(ApiError):
        _upload(connect, service)

    assert (len(service.seen), len(store.seen)) == (1, 1)


def test_a_policy_that_is_refused_is_not_asked_for_again(serve: Serve, connect: Connect) -> None:
    service = serve(say_error(403, "Model.AccessDenied"))

    with pytest.raises(ApiError, match="ask for an upload policy for model m-1"):
        _upload(connect, service)

    assert len(service.seen) == 1


def test_a_store_that_says_nothing_is_given_up(serve: Serve, connect: Connect) -> None:
    store = serve(Stall())
    service = serve(_policy(store))

    with pytest.raises(LostAnswerError, match="upload me"):
        _upload(connect, service, timeout=0.15, retry_for=0)

    assert len(store.seen) == 1


@pytest.mark.dashscope_simulator(speed=1, policy_lifetime=100)
def test_the_local_service_takes_uploads_and_never_overwrites(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)

    urls = {shell.upload_file(filename="me.png", content=b"same", model="m-1") for _ in range(3)}

    assert len(urls) == 3
    assert dashscope_simulator.ledger()["endpoints"]["upload"] == {
        "requests": 3,
        "refused": 0,
        "errors": 0,
        "faults": 0,
    }


def test_an_upload_survives_what_a_network_does(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    dashscope_simulator.add_fault(endpoint="upload", kind="lose_answer", times=1)
    dashscope_simulator.add_fault(endpoint="upload_policy", kind="garbage", times=1)

    url = connect(dashscope_simulator.url).upload_file(filename="me.png", content=b"bytes", model="m-1")

    assert url.startswith("oss://")
    tallies = dashscope_simulator.ledger()["endpoints"]
    # The lost one was stored; only a name of its own lets the second one in.
    assert (tallies["upload"]["requests"], tallies["upload"]["errors"]) == (2, 0)
    assert tallies["upload_policy"]["requests"] == 3
