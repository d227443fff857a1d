from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_wanx.dashscope.error_codes import (
    ALIASES,
    ERROR_TABLE,
    FALLBACKS,
    ErrorKind,
    classify,
)
from airflow_provider_wanx.dashscope.errors import api_error
from tests.unit.dashscope import error_expectations as expected
from tests.unit.dashscope.error_expectations import NO, YES, Expected

_ORDINARY = "The pages have many texts for this one."


def _name(row: Expected) -> str:
    return f"{row.code}-{row.http[0]}"


def _statuses(row: Expected) -> tuple[int | None, ...]:
    # Inside a task an error has no HTTP status; a row for one status only cannot apply there.
    return row.http if row.only_http else (*row.http, None)


def test_the_table_has_exactly_the_documented_rows() -> None:
    rows = Counter((row.code, row.http, row.retryable, row.only_http) for row in ERROR_TABLE)

    assert rows == Counter((row.code, row.http, row.retryable, row.only_http) for row in expected.ROWS)
    assert [row.code for row in ERROR_TABLE if row.text] == [row.code for row in expected.ROWS if row.text]


def test_the_aliases_are_exactly_the_documented_ones() -> None:
    assert expected.ALIASES == ALIASES


def test_the_rules_for_unknown_codes_are_exactly_the_expected_ones() -> None:
    assert [row.code for row in FALLBACKS] == list(expected.FALLBACKS)


def test_a_rule_for_one_http_status_shows_that_status() -> None:
    shown = {row.code: row.http for row in FALLBACKS if row.code.strip("()").isdecimal()}

    assert len(shown) == 9
    assert all(http == (int(rule.strip("()")),) for rule, http in shown.items())


@pytest.mark.parametrize("row", expected.ROWS, ids=_name)
def test_a_documented_code_is_judged_as_its_page_says(row: Expected) -> None:
    for status in _statuses(row):
        message = row.text or _ORDINARY
        verdict = classify(code=row.code.replace("*", "Whatever"), http_status=status, message=message)

        assert (verdict.kind, verdict.retryable) == (row.kind, row.retryable), status
        assert verdict.certainly_refused is (row.code not in expected.MAY_HAVE_ACTED)
        assert verdict.advice.endswith(".")


@pytest.mark.parametrize("row", [row for row in expected.ROWS if row.unless], ids=_name)
def test_the_text_decides_where_a_code_stands_for_several_things(row: Expected) -> None:
    for status in _statuses(row):
        verdict = classify(code=row.code, http_status=status, message=f"Sorry: {row.unless} Bye.")

        assert verdict.retryable is not row.retryable


@pytest.mark.parametrize(
    "row", [row for row in expected.ROWS if not (row.only_http or row.text or "*" in row.code)], ids=_name
)
def test_the_code_goes_before_the_http_status(row: Expected) -> None:
    refusals = () if row.code in expected.MAY_HAVE_ACTED else (402,)
    for status in (200, 502, *refusals):
        assert classify(code=row.code, http_status=status, message=_ORDINARY).kind is row.kind


@pytest.mark.parametrize("status", [400, 413, 422, 451])
@pytest.mark.parametrize(
    "code",
    [*sorted(expected.MAY_HAVE_ACTED - {"(408)", "(5xx)", "(other)", "(no code)"}), "InternalError.Algo.X"],
)
def test_an_answer_4xx_is_a_refusal_whatever_its_code_begins_with(code: str, status: int) -> None:
    verdict = classify(code=code.replace("*", "Whatever"), http_status=status, message=_ORDINARY)

    assert (verdict.kind, verdict.retryable, verdict.certainly_refused) == (ErrorKind.INPUT, NO, True)


@pytest.mark.parametrize("status", [400, 500, None])
def test_the_last_part_of_a_code_says_what_it_is(status: int | None) -> None:
    code, message = (
        "InternalError.Algo.DataInspectionFailed",
        "Input image data may contain inappropriate content.",
    )

    verdict = classify(code=code, http_status=status, message=message)

    assert (verdict.kind, verdict.retryable, verdict.certainly_refused) == (ErrorKind.CONTENT, NO, True)


@pytest.mark.parametrize("status", [408, 500, 503])
def test_trouble_of_the_service_is_none_of_the_pictures(status: int) -> None:
    verdict = classify(code="RequestTimeOut", http_status=status, message=_ORDINARY)

    assert (verdict.kind, verdict.retryable, verdict.certainly_refused) == (ErrorKind.SERVICE, YES, False)


@pytest.mark.parametrize(
    ("family", "member"),
    [(family, member) for family, members in expected.FAMILIES.items() for member in members],
)
def test_every_documented_member_of_a_family_is_permanent(family: str, member: str) -> None:
    verdict = classify(code=family.replace("*", member), http_status=None, message=_ORDINARY)

    assert verdict.code == family
    assert not verdict.retryable


@pytest.mark.parametrize(
    "code", sorted(code for code in expected.MAY_HAVE_ACTED if code[0] != "(" and code != "RequestTimeOut")
)
@pytest.mark.parametrize("status", [400, 403, 409, 413, 422])
def test_a_refusal_is_final_and_nothing_was_accepted_whatever_trouble_the_code_speaks_of(
    code: str, status: int
) -> None:
    for name in (code.replace("*", "NewReason"), f"{code.rstrip('.*')}.NewReason"):
        verdict = classify(code=name, http_status=status, message=_ORDINARY)

        assert not verdict.retryable
        assert verdict.certainly_refused
        assert verdict.kind is not ErrorKind.SERVICE


def test_no_advice_contradicts_what_a_retry_can_do() -> None:
    for row in (*ERROR_TABLE, *FALLBACKS):
        hopeful = ("recovers", "try again later", "then try again")
        hopeless = ("will not help", "has to change", "will not do better")

        assert not any(words in row.advice for words in (hopeless if row.retryable else hopeful)), row
    # Nor where Airflow is told to skip the retries.
    for known in expected.ROWS:
        for status in _statuses(known):
            error = api_error(
                code=known.code,
                service_message=known.text or known.unless or _ORDINARY,
                http_status=status or 200,
            )
            assert error.retryable or "recovers" not in str(error)


@pytest.mark.parametrize("code", ["InvalidFiles", "InvalidFile", "Audiophile"])
def test_a_code_that_only_begins_like_a_family_is_no_member(code: str) -> None:
    assert classify(code=code, http_status=400, message=_ORDINARY).code == "(4xx)"


@pytest.mark.parametrize(("alias", "code"), expected.ALIASES.items())
def test_an_alias_is_judged_like_the_code_it_stands_for(alias: str, code: str) -> None:
    meant = next(row for row in expected.ROWS if row.code == code and not (row.only_http or row.text))

    verdict = classify(code=alias, http_status=meant.http[0], message=_ORDINARY)

    assert (verdict.code, verdict.kind, verdict.retryable) == (code, meant.kind, meant.retryable)


@pytest.mark.parametrize("rule", expected.FALLBACKS)
def test_an_unknown_code_is_judged_by_rule(rule: str) -> None:
    code, status, kind, retryable = expected.FALLBACKS[rule]

    verdict = classify(code=code, http_status=status, message=_ORDINARY)

    assert (verdict.code, verdict.kind, verdict.retryable) == (rule, kind, retryable)
    assert verdict.certainly_refused is (rule not in expected.MAY_HAVE_ACTED)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("DataInspectionFailed.Input", None, ErrorKind.CONTENT),
        ("DataInspectionFailed.Input", 400, ErrorKind.CONTENT),
        ("Arrearage.Overdue", None, ErrorKind.BILLING),
        ("InvalidApiKey.Expired", 400, ErrorKind.AUTHENTICATION),
        ("InvalidURL.Forbidden", None, ErrorKind.INPUT),
        ("InternalError.Algo.New", 400, ErrorKind.INPUT),
    ],
)
def test_an_unknown_member_is_judged_as_its_family(code: str, status: int | None, kind: ErrorKind) -> None:
    assert classify(code=code, http_status=status, message=_ORDINARY).kind is kind


@pytest.mark.parametrize("code", ["INVALIDAPIKEY", "InvalidApikey", "Invalid_API_Key"])
def test_the_case_of_a_code_does_not_matter(code: str) -> None:
    assert classify(code=code, http_status=401, message="").code == "InvalidApiKey"


@pytest.mark.parametrize(
    ("code", "message", "retryable"),
    [
        ("InvalidParameter", "Time out while the picture was downloaded: download aborted.", YES),
        ("InvalidParameter", "url error, please check url!", NO),
        ("DataInspectionFailed", "Input data may contain inappropriate content.", NO),
        ("DataInspectionFailed", "Input or output data may contain inappropriate content.", NO),
        ("AccessDenied", "Current user api does not support synchronous calls.", NO),
        ("insufficient_quota", "You exceeded your free tier quota.", NO),
        ("Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota limit.", YES),
        ("InternalError.Algo", "Missing Content-Length of multimodal url", NO),
        ("InternalError.Algo", "An error occured in model serving, error message is: [InvalidParameter]", NO),
        ("InternalError.Algo", "inference error", YES),
    ],
)
def test_known_texts_are_understood(code: str, message: str, retryable: bool) -> None:
    assert classify(code=code, http_status=None, message=message).retryable is retryable


def test_every_billing_error_is_permanent_even_where_it_is_dressed_as_throttling() -> None:
    billing = [
        row for row in expected.ROWS if row.kind is ErrorKind.BILLING and row.http == (429,) and not row.text
    ]

    assert len(billing) == 4
    assert not any(
        classify(code=row.code, http_status=429, message="Throttled, retry later").retryable
        for row in billing
    )


@pytest.mark.parametrize(
    ("status", "rule"), [(399, "(other)"), (400, "(4xx)"), (499, "(4xx)"), (500, "(5xx)"), (599, "(5xx)")]
)
def test_the_rules_by_http_status_begin_and_end_where_http_does(status: int, rule: str) -> None:
    assert classify(code="Whatever", http_status=status, message=_ORDINARY).code == rule
