from __future__ import annotations

from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.simulator.catalogue import STYLES
from airflow_provider_wanx.simulator.painting.painter import RECIPES


def test_styles_are_those_that_the_client_knows_and_each_can_be_painted() -> None:
    assert {style.number: style.english for style in WanxStyle} == STYLES
    assert RECIPES.keys() == STYLES.keys()
