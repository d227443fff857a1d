"""What commands there are, and their options; nothing here imports what a command needs to run.

One description serves both command lines: Airflow's, which reads it whenever any ``airflow`` command starts, and the
package's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_wanx import __version__
from airflow_provider_wanx.simulator.settings import DESCRIPTION, EPILOG, add_options

if TYPE_CHECKING:
    from airflow.cli.cli_config import ActionCommand, GroupCommand


class Option(NamedTuple):
    """An option or an argument, as :meth:`argparse.ArgumentParser.add_argument` takes it."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """A command.

    :param name: its name.
    :param help: what it does, in a line.
    :param runs: the function that does it, as ``module.function`` below this package.
    :param options: its options.
    :param epilog: more about it.
    """

    name: str
    help: str
    runs: str
    options: tuple[Option, ...]
    epilog: str | None = None


class Group(NamedTuple):
    """Commands under a common name."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]


def _option(*flags: str, **settings: Any) -> Option:
    return Option(flags, settings)


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return number


_OUTPUT = _option(
    *("-o", "--output"),
    choices=("table", "json"),
    default="table",
    help="a table for people, or JSON for programs",
)
_CONNECTION = _option(
    "--connection",
    metavar="CONN_ID",
    help="Airflow connection of type dashscope (default: the key in DASHSCOPE_API_KEY, or else dashscope_default)",
)
_HOST = _option(
    "--host", metavar="URL", help="base URL that goes with DASHSCOPE_API_KEY (default: the Beijing host)"
)
_POLL_INTERVAL = _option(
    "--poll-interval", type=_above_zero, default=3.0, metavar="S", help="seconds between looks (default: 3)"
)
_TIMEOUT = _option(
    "--timeout",
    type=_above_zero,
    default=4 * 3600.0,
    metavar="S",
    help="seconds after which waiting ends; the task goes on (default: 4 hours)",
)
_AWS = _option(
    "--aws-connection",
    metavar="CONN_ID",
    default="aws_default",
    help="Airflow connection for s3:// URLs (default: aws_default)",
)
_TO = _option("--to", metavar="PLACE", help="a file, a folder with / at its end, or an s3:// URL of either")
_REPLACE = _option("--replace", action="store_true", help="replace files that exist")
_RESUBMIT = _option(
    "--resubmit",
    action="store_true",
    help="submit again if it cannot be found out whether an earlier submission was accepted; may pay twice",
)
_LIMIT = _option("--limit", type=_count, default=50, metavar="N", help="at most so many (default: 50)")
_DESTINATION = _option("destination", metavar="DESTINATION", help="the batch's s3://bucket/prefix/")
_IDS = _option("task_ids", nargs="+", metavar="TASK_ID", help="the service's id of a task")

_ASK = (_CONNECTION, _HOST, _OUTPUT)
_WAIT_AND_SAVE = (_TO, _REPLACE, _AWS, _POLL_INTERVAL, _TIMEOUT, *_ASK)


def _simulator_options() -> tuple[Option, ...]:
    options: list[Option] = []
    add_options(lambda *flags, **settings: options.append(Option(flags, settings)))
    return tuple(options)


EXIT_CODES = (
    "Exit codes: 0 done; 1 the service or the storage said no, or a task has not succeeded; 2 the command, the input or "
    "the connection is wrong, and nothing was sent; 3 the time is over; 130 interrupted."
)

COMMANDS: tuple[Command | Group, ...] = (
    Command("styles", "List the styles of the repaint model", "limits_command.show_styles", (_OUTPUT,)),
    Command(
        "limits",
        "Show what the account may do with a model",
        "limits_command.show_limits",
        (_option("--model", default=None, help="exact name of a model (default: all)"), *_ASK),
    ),
    Group(
        "tasks",
        "Look at the account's tasks of the last 24 hours",
        (
            Command(
                "list",
                "List tasks, as the service orders them",
                "tasks_command.list_tasks",
                (
                    _option("--status", help="only this state, for example RUNNING"),
                    _option("--model", help="only this model"),
                    _LIMIT,
                    *_ASK,
                ),
            ),
            Command(
                "show",
                "Show one task",
                "tasks_command.show_task",
                (_option("task_id", metavar="TASK_ID", help="the service's id of the task"), *_ASK),
            ),
            Command(
                "cancel",
                "Cancel tasks that are still queued; they cost nothing then",
                "tasks_command.cancel_tasks",
                (_IDS, *_ASK),
            ),
            Command(
                "wait",
                "Wait for tasks, and save their results if asked to",
                "tasks_command.wait_for_tasks",
                (_IDS, *_WAIT_AND_SAVE),
            ),
        ),
    ),
    Command(
        "repaint",
        "Repaint portraits; this costs money",
        "repaint_command.repaint",
        (
            _option(
                "images",
                nargs="+",
                metavar="IMAGE",
                help="a path, an https://, s3://, data: or oss:// URL, or a folder, as an s3:// URL with / at its end",
            ),
            _option("--style", required=True, help="number, or Chinese or English name, of the style"),
            _option(
                "--style-reference", metavar="IMAGE", help="a picture whose style is taken; for style -1 only"
            ),
            _RESUBMIT,
            *_WAIT_AND_SAVE,
        ),
        "Pictures, style and destination are checked before anything is paid for. The price is printed before the "
        "submission, a task's id right after it. Without --to, results go into the current folder. If the command is broken "
        "off and called again within a day, it goes on with the tasks that it has submitted.",
    ),
    Command(
        "submit",
        "Submit a task of any asynchronous model; this costs money",
        "submit_command.submit",
        (
            _option("service", metavar="SERVICE", help="path, for example aigc/text2image/image-synthesis"),
            _option("model", metavar="MODEL", help="exact name, for example wan2.2-t2i-flash"),
            _option(
                "--input",
                metavar="JSON",
                help="the input, a JSON object; @FILE reads it from a file, - from stdin",
            ),
            _option("--parameters", metavar="JSON", help="the parameters, likewise"),
            _option(
                "--file",
                action="append",
                metavar="FIELD=PATH",
                help="upload a file, and put its URL into this field of the input; repeatable",
            ),
            _option("--wait", action="store_true", help="wait for its end, as --to does too"),
            _RESUBMIT,
            *_WAIT_AND_SAVE,
        ),
    ),
    Group(
        "batch",
        "Look at a batch, by its destination",
        (
            Command(
                "status",
                "Show how far a batch is",
                "batch_command.show_status",
                (_DESTINATION, _AWS, _OUTPUT),
            ),
            Command(
                "failures",
                "Show which images of a batch have failed, and why",
                "batch_command.show_failures",
                (_DESTINATION, _LIMIT, _AWS, _OUTPUT),
            ),
        ),
    ),
    Command("simulator", DESCRIPTION, "simulator_command.serve_simulator", _simulator_options(), EPILOG),
)


def run_command(runs: str, arguments: argparse.Namespace) -> None:
    """Run a command, and end the process with its exit code.

    :param runs: see :class:`Command`.
    :param arguments: the command line as it was read.
    """
    from airflow_provider_wanx.cli.running import exit_code_of

    raise SystemExit(exit_code_of(runs, arguments))


def get_cli_commands() -> list[GroupCommand]:
    """Return the commands in the form that ``airflow`` takes."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    def convert(entry: Command | Group) -> ActionCommand | GroupCommand:
        if isinstance(entry, Group):
            return GroupCommand(
                name=entry.name, help=entry.help, subcommands=[convert(each) for each in entry.commands]
            )
        return ActionCommand(
            name=entry.name,
            help=entry.help,
            func=_function(entry),
            args=[Arg(option.flags, **option.settings) for option in entry.options],
            epilog=entry.epilog or EXIT_CODES,
        )

    return [
        GroupCommand(
            name="wanx",
            help="Work with Tongyi Wanxiang (DashScope)",
            subcommands=[convert(each) for each in COMMANDS],
            epilog=EXIT_CODES,
        )
    ]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the package's own command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_wanx",
        description="Work with Tongyi Wanxiang (DashScope).",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"airflow-provider-wanx {__version__}")
    _add(parser, COMMANDS)
    return parser


def _add(parser: argparse.ArgumentParser, entries: Sequence[Command | Group]) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for entry in entries:
        own = commands.add_parser(
            entry.name,
            help=entry.help,
            description=f"{entry.help.removesuffix('.')}.",
            epilog=entry.epilog or EXIT_CODES if isinstance(entry, Command) else EXIT_CODES,
        )
        if isinstance(entry, Group):
            _add(own, entry.commands)
            continue
        for option in entry.options:
            own.add_argument(*option.flags, **option.settings)
        own.set_defaults(func=_function(entry))


def _function(command: Command) -> Callable[[argparse.Namespace], None]:
    return partial(run_command, command.runs)
