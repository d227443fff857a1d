from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import attr
import pytest
from airflow.models import Connection

from airflow_provider_wanx.cli.definition import COMMANDS, Group
from airflow_provider_wanx.dashscope.error_codes import ERROR_TABLE, ErrorKind
from airflow_provider_wanx.dashscope.measures import MEASURES
from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.hooks.connection import EXTRAS, client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.copying.key_template import FIELDS
from airflow_provider_wanx.lineage.openlineage import DashScopeRunFacet
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator import faults
from airflow_provider_wanx.simulator.endpoints import control
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from tests.unit.support.doc_extensions import extension

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*READMES, *OTHERS, *sorted(DOCS.glob("*.md"))]

PUBLIC_CLASSES = [
    DashScopeHook,
    DashScopeSubmitTaskOperator,
    DashScopeTaskSensor,
    DashScopeTaskTrigger,
    DashScopeToS3Operator,
    WanxStyleRepaintBatchOperator,
    WanxStyleRepaintOperator,
]
# What a class decides itself, and so takes no argument for.
DECIDED: dict[type, set[str]] = {WanxStyleRepaintOperator: {"service", "model", "input", "parameters"}}

_FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_CONNECTION = re.compile(r"export AIRFLOW_CONN_DASHSCOPE_\w+='([^']*)'")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(language: str) -> Iterator[Any]:
    """Code blocks of all pages, each with the name of its page and its number there."""
    for page in PAGES:
        blocks = [match for match in _FENCE.finditer(_text(page)) if match[3] == language]
        for number, match in enumerate(blocks, 1):
            yield pytest.param(inspect.cleandoc(match[4]), id=f"{_name(page)}-{number}")


def _first_cells(page: Path, *, heading: str) -> set[str]:
    """What stands as code in the first column of the table below a heading."""
    section = re.split(r"^#+ ", _text(page).partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def _slugs(page: Path) -> set[str]:
    """Anchors of the headings."""
    prose = _FENCE.sub("", _text(page))
    titles = re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _tables() -> ModuleType:
    return extension("wanx_table_texts")


def _arguments(cls: type) -> set[str]:
    """Arguments of a class's constructor, with those that it passes on to constructors of this package."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("airflow_provider_wanx.") and "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    return names - {"self"} - DECIDED.get(cls, set())


@pytest.mark.parametrize("cls", PUBLIC_CLASSES, ids=lambda cls: cls.__name__)
def test_a_class_describes_each_of_its_arguments_and_no_other(cls: type) -> None:
    assert set(re.findall(r":param (\w+):", cls.__doc__ or "")) == _arguments(cls)


def test_every_field_of_a_key_is_documented_and_no_other() -> None:
    fields = {f"{{{field}}}" for field in FIELDS}
    assert _first_cells(DOCS / "transfer.md", heading="Keys") == fields
    assert all(field in (DashScopeToS3Operator.__doc__ or "") for field in fields)


def test_every_extra_of_a_connection_is_documented_and_no_other() -> None:
    assert _first_cells(DOCS / "connection.md", heading="Extras") == set(EXTRAS)


def test_the_example_of_a_manifest_has_the_entries_that_the_operator_names() -> None:
    shown = re.search(r"```json\n(\[.*?\n\])\n```", _text(DOCS / "transfer.md"), re.DOTALL)
    assert shown is not None
    (example,) = json.loads(shown[1])
    named = re.search(r"a list of ``\{([^}]+)\}``", DashScopeToS3Operator.__doc__ or "")
    assert named is not None
    assert list(example) == re.split(r",\s+", named[1])


def test_everything_that_a_fault_can_be_is_documented() -> None:
    text = _text(DOCS / "simulator.md").partition("### Faults")[2].partition("### The ledger")[0]
    for values in (faults.Endpoint, faults.Kind, faults.Outcome):
        (row,) = [line for line in text.splitlines() if f"`{get_args(values)[0]}`, " in line]
        assert tuple(re.findall(r"`(\w+)`", row.split("|")[2])) == get_args(values)


def test_every_address_of_the_control_api_is_documented() -> None:
    text = _text(DOCS / "simulator.md")
    for method, path, _ in control.ROUTES:
        assert path == "/" or f"`{method} {path}`" in text


def test_the_table_of_styles_has_every_style() -> None:
    rows = _tables().styles().splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [str(int(each)) for each in WanxStyle]
    assert all(
        style.chinese in row and style.english in row for style, row in zip(WanxStyle, rows, strict=True)
    )


def test_the_tables_of_errors_have_every_code_in_as_many_columns_as_their_heads() -> None:
    lines = [_tables().errors(kind).splitlines() for kind in ErrorKind]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for table in lines for line in table}
    assert len(columns) == 1
    codes = [
        code for table in lines for line in table[2:] for code in re.findall("`(.*?)`", line.split(" | ")[0])
    ]
    assert sorted(codes) == sorted(row.code for row in ERROR_TABLE)


def test_the_page_on_trouble_shows_the_errors_of_every_kind() -> None:
    shown = re.findall(r"```\{wanx-table} (\S+)\n", _text(DOCS / "troubleshooting.md"))
    assert sorted(shown) == sorted(
        [*(f"errors-{kind.replace(' ', '-')}" for kind in ErrorKind), "fallbacks", "aliases"]
    )
    assert set(shown) <= set(_tables().TABLES)


def test_messages_that_the_page_on_trouble_explains_are_messages_of_this_package() -> None:
    section = (
        _text(DOCS / "troubleshooting.md").partition("## Messages without a code\n")[2].partition("\n## ")[0]
    )
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    sources = (ROOT / "airflow_provider_wanx").rglob("*.py")
    # Long messages are written as several strings, one after the other.
    code = re.sub(r'"\s+f?"', "", "".join(map(_text, sources)))
    wanted = [phrase for row in rows for phrase in re.findall(r"`([^`]+)`", row)]
    assert [phrase for phrase in wanted if phrase not in code.replace("{{", "{").replace("}}", "}")] == []


def test_the_table_of_metrics_has_every_measure() -> None:
    lines = _tables().metrics().splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert [line.split("`")[1] for line in lines[2:]] == [measure.name for measure in MEASURES]


def test_every_command_is_documented_and_no_other() -> None:
    def names(entries: Any, before: str = "") -> Iterator[str]:
        for each in entries:
            own = f"{before}{each.name}"
            yield from names(each.commands, f"{own} ") if isinstance(each, Group) else [own]

    cells = re.findall(r"^\| `([a-z ]+?)(?: [A-Z_]+…?)*` \|", _text(DOCS / "cli.md"), re.MULTILINE)
    assert sorted(cells) == sorted(names(COMMANDS))


def test_every_field_of_the_facet_is_documented_and_no_other() -> None:
    documented = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", _facet_table(), re.MULTILINE)))
    )
    assert documented == {each.name for each in attr.fields(DashScopeRunFacet)} - {"_producer", "_schemaURL"}


def _facet_table() -> str:
    return _text(DOCS / "lineage.md").partition("facet `dashscope`:")[2]


@pytest.mark.parametrize("code", [*_blocks("python")])
def test_python_samples_compile(code: str) -> None:
    ast.parse(code)


@pytest.mark.parametrize("code", [*_blocks("json")])
def test_json_samples_can_be_read(code: str) -> None:
    json.loads(code)


@pytest.mark.parametrize("code", [*_blocks("bash")])
def test_shell_samples_are_well_formed(code: str) -> None:
    done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [each for page in PAGES for each in _CONNECTION.findall(_text(page))])
def test_connections_of_samples_are_accepted(text: str) -> None:
    is_uri = not text.startswith("{")
    sample = (
        Connection(conn_id="sample", uri=text) if is_uri else Connection.from_json(text, conn_id="sample")
    )
    client_config(sample)


def test_both_readmes_have_the_same_sections_the_same_code_and_the_same_links() -> None:
    english, chinese = map(_text, READMES)
    outlines = [re.findall(r"^#+(?= )", _FENCE.sub("", text), re.MULTILINE) for text in (english, chinese)]
    assert outlines[0] == outlines[1]
    # Comments are prose.
    blocks = [
        [(match[3], re.sub(r"#.*", "", match[4])) for match in _FENCE.finditer(text)]
        for text in (english, chinese)
    ]
    assert blocks[0] == blocks[1] != []
    links = [sorted({*_LINK.findall(text)} - {page.name for page in READMES}) for text in (english, chinese)]
    assert links[0] == links[1]
    assert "](README.zh-CN.md)" in english
    assert "](README.md)" in chinese


def test_the_readmes_count_the_examples() -> None:
    more = len(list((ROOT / "dags").glob("*.py")))
    numbers = [None, *["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]]
    assert f"[dags/](dags) has {numbers[more]} more examples" in _text(READMES[0])
    assert f"[dags/](dags) 中另有{' 一二三四五六七八九'[more]}个示例" in _text(READMES[1])


@pytest.mark.parametrize("page", READMES, ids=_name)
def test_the_dag_of_the_readme_is_the_one_that_is_tested(page: Path) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", _text(page), re.DOTALL)
    tested = _text(ROOT / "tests" / "examples" / "dags" / "portraits.py")
    assert shown == tested.partition("# [START portraits]\n")[2].partition("# [END portraits]")[0]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", _text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in _slugs(target), f"{link}: there is no such heading"


def test_pages_that_docstrings_refer_to_exist() -> None:
    sources = (ROOT / "airflow_provider_wanx").rglob("*.py")
    named = {name for source in sources for name in re.findall(r":doc:`/([\w-]+)`", _text(source))}
    assert named
    assert named <= {page.stem for page in DOCS.glob("*.md")}


def test_the_page_on_reliability_has_the_place_that_the_fault_run_writes_to() -> None:
    assert re.search(
        r"^<!-- faults:start -->$.*^<!-- faults:end -->$",
        _text(DOCS / "reliability.md"),
        re.MULTILINE | re.DOTALL,
    )


def test_the_page_on_mutation_testing_shows_its_figures_and_why_each_survivor_may() -> None:
    page, figures = _text(DOCS / "mutation.md"), json.loads(_text(DOCS / "mutation.json"))
    assert re.search(r"^<!-- mutants:start -->$.*^<!-- mutants:end -->$", page, re.MULTILINE | re.DOTALL)
    assert min(row["percent"] for row in figures["modules"]) >= 85
    for row in figures["modules"][:-1]:
        assert (ROOT / "airflow_provider_wanx" / row["module"]).exists()
        assert f"| `{row['module']}` | {row['mutants']} | {row['killed']} |" in page
    assert figures["survivors"]
    assert all(each["why"] and each["why"] in page for each in figures["survivors"])


def test_the_picture_of_the_readme_is_small_enough_for_a_page() -> None:
    picture = DOCS / "images" / "repainted.jpg"
    assert _name(picture) in _text(ROOT / "README.md")
    assert picture.stat().st_size < 300_000


def test_no_file_names_a_folder_of_the_machine_it_was_written_on_or_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("This is no git repository, so that it cannot be told which files belong to it.")
    # Not in one piece, or this file would be found itself.
    folders, hosts = r"work|root|tmp/\w+_jobs", "pypi|pythonhosted|npmjs|anaconda|crates"
    unwanted = re.compile(rf"(?<![\w.~-])/(?:{folders})\b|\b(?:{hosts})\.(?:org|com|io)\b".encode())
    files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    found = [_name(file) for file in files if file.is_file() and unwanted.search(file.read_bytes())]
    assert not found
