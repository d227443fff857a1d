"""docs/architecture.md and its picture, held against the package's real folders and imports."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from types import ModuleType

import grimp
import pytest

from tests.stack import ROOT

PACKAGE = "airflow_provider_wanx"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
RENEW = "Run python docs/images/make_architecture.py."


def _picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_architecture", ROOT / "docs/images/make_architecture.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURE = _picture()


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def _module(path: str) -> str:
    """The dotted name of what the page calls ``dashscope/api/``."""
    return f"{PACKAGE}.{path.strip('/').replace('/', '.')}".removesuffix(f".{PACKAGE}")


def test_the_table_has_every_room_and_module_and_no_other(imports: grimp.ImportGraph) -> None:
    rows = re.findall(r"^\| `([\w/]+/)` \| (.+) \| (.*) \|$", PAGE, re.MULTILINE)
    shown = {
        _module(room): {f"{_module(room)}.{name}" for name in re.findall(r"`(\w+)`", names)}
        for room, _, names in rows
    }
    packages = {PACKAGE} | {module for module in imports.modules if imports.find_children(module)}
    assert shown == {each: imports.find_children(each) - packages for each in packages}, RENEW


def test_the_table_says_what_the_rooms_say_of_themselves() -> None:
    assert PICTURE.rooms() in PAGE, RENEW


def test_the_picture_is_as_its_script_draws_it() -> None:
    assert PICTURE.TARGET.read_text(encoding="utf-8") == PICTURE.draw(), RENEW
    assert f"images/{PICTURE.TARGET.name}" in PAGE


@pytest.mark.parametrize(("start", "end"), PICTURE.CALLS)
def test_a_solid_arrow_of_the_picture_is_an_import(start: str, end: str, imports: grimp.ImportGraph) -> None:
    importer, imported = (f"{PACKAGE}.{PICTURE.BOXES[each].module}" for each in (start, end))
    assert imports.direct_import_exists(importer=importer, imported=imported, as_packages=True)


def test_every_module_of_the_picture_is_reached_from_an_airflow_task_by_solid_arrows() -> None:
    reached = {"submit", "wait", "copy"}
    while more := {end for start, end in PICTURE.CALLS if start in reached} - reached:
        reached |= more
    assert reached == {name for name, box in PICTURE.BOXES.items() if box.module}


def test_the_page_names_the_layers_that_are_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    checked = [contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers"]
    assert [block.splitlines() for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)] == checked
