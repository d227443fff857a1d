"""The deployment guide: what it shows can be read, and its figures are those of the benchmarks."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.unit.support.doc_extensions import extension

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "deployment.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def volume() -> ModuleType:
    return extension("wanx_volume")


def test_the_values_for_the_chart_are_yaml_and_name_the_settings_of_the_package() -> None:
    values = yaml.safe_load((DOCS / "deployment" / "values.yaml").read_text(encoding="utf-8"))
    assert values["config"]["dashscope"]["record_path"].startswith("s3://")
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"secretRef": {"name": "airflow-connections"}}]
    tag = values["images"]["airflow"]["tag"]
    assert tag == values["airflowVersion"]
    assert f"FROM apache/airflow:{tag}-" in (DOCS / "deployment" / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_pinned_needs_no_root_and_installs_what_was_tested() -> None:
    lines = (DOCS / "deployment" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    (base,) = [rest for word, rest in steps if word == "FROM"]
    assert re.fullmatch(r"apache/airflow:\d+\.\d+\.\d+-python3\.\d+@\$\{DIGEST\}", base)
    users = [rest for word, rest in steps if word == "USER"]
    assert users == ["airflow"]
    (installing,) = [rest for word, rest in steps if word == "RUN"]
    assert "--constraint /tmp/wanx/constraints.txt" in installing
    assert [word for word, _ in steps].index("USER") < [word for word, _ in steps].index("RUN")


def test_every_table_is_shown_once_and_has_a_cell_below_each_title(volume: ModuleType) -> None:
    shown = re.findall(r"```\{wanx-table} volume-(\S+)\n", GUIDE)
    assert sorted(shown) == sorted(make.__name__ for make in volume.TABLES)
    for make in volume.TABLES:
        head, *rows = make()
        assert rows
        assert {len(row) for row in rows} == {len(head)}


def test_ten_times_the_images_are_ten_times_the_work_and_the_price(volume: ModuleType) -> None:
    rows = volume.accounts()[1:]
    assert [row[1] for row in rows] == ["100", "1,000", "10,000", "100,000"]
    assert [row[4] for row in rows] == [f"{price:,} CNY a day" for price in (12, 120, 1_200, 12_000)]
    # 100,000 images of 8 s are 800,000 s, and a day has 86,400.
    assert rows[-1][2:4] == ("222.2 to 416.7 h", "10 to 18")


def test_what_the_text_says_of_the_figures_is_what_the_tables_say(volume: ModuleType) -> None:
    assert f"{volume.POOL} slots" in GUIDE
    assert min(int(row[2].replace(",", "")) for row in volume.queue()[1:]) > volume.POOL
    assert f"about {volume.ACCEPTANCE} s" in GUIDE
    assert f"at {volume.SLOW:.0f} seconds an image" in GUIDE
    plans = volume._row(bench="plans", client="plan 100,000 rows")
    peak, own = plans["peak_megabytes"], plans["own_megabytes"]
    assert f"within {peak:.0f} MB, of which {peak - own:.0f} MB were Airflow" in GUIDE
    load = volume._row(bench="airflow", client="1,000 sensors: triggerer with its supervisor, of one core")
    assert f"1,000 sensors needed {load['value']:.0f} % of a core" in GUIDE
