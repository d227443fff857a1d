"""The dashboard's file, held against the script that writes it and against what there is to ask for."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType

from airflow_provider_wanx.dashscope.measures import MEASURES, Kind
from tests.stack import ROOT

FOLDER = ROOT / "docs" / "grafana"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dashboard", FOLDER / "make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


def test_the_file_is_as_its_script_writes_it() -> None:
    assert SCRIPT.TARGET.read_text(encoding="utf-8") == SCRIPT.make(), (
        "Run python docs/grafana/make_dashboard.py."
    )


def test_it_shows_every_measure_and_asks_for_nothing_else() -> None:
    panels = json.loads(SCRIPT.make())["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked = set(re.findall(r"airflow_dashscope_[A-Za-z_]+", queries))
    names = {SCRIPT.name(measure): measure for measure in MEASURES}
    for name, measure in names.items():
        ends = ("_sum", "_count", "") if measure.kind is Kind.TIMING else ("",)
        mine = {each for each in asked if each.startswith(name)}
        assert mine, name
        assert measure.kind is not Kind.TIMING or mine >= {f"{name}{end}" for end in ends}
    assert all(any(each.startswith(name) for name in names) for each in asked)


def test_no_panel_lies_upon_another() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in json.loads(SCRIPT.make())["panels"]]
    assert len(set(places)) == len(places)
