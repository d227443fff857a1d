from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_wanx import dashscope


def test_every_public_name_can_be_imported_from_the_package() -> None:
    for name in dashscope.__all__:
        assert getattr(dashscope, name).__name__ == name


def test_any_other_name_is_missing_as_from_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Client'"):
        dashscope.Client  # noqa: B018


@pytest.mark.parametrize(
    "statement", ["import airflow_provider_wanx.dashscope.errors", "import airflow_provider_wanx.dashscope"]
)
def test_the_http_library_and_airflow_are_not_loaded_before_a_client_is_used(statement: str) -> None:
    program = f"import sys; {statement}; print(sorted({{'httpx', 'airflow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
