"""``styles``: the styles of the repaint model."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_wanx.cli.output import print_rows
from airflow_provider_wanx.dashscope.styles import WanxStyle


def show_styles(arguments: Namespace) -> int:
    """List number, English and Chinese name of every style."""
    rows = [
        {"number": style.number, "english": style.english, "chinese": style.chinese} for style in WanxStyle
    ]
    print_rows(rows, ("number", "english", "chinese"), output=arguments.output)
    return 0
