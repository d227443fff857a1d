"""Processes that are told when to begin and report when they are done."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.stack.environment import clean_environment

_ROOM = 64 * 1024 * 1024


class Helper:
    """One such process.

    :param process: it, with pipes at its input and output
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def say(self, line: str) -> None:
        """Write a line to it.

        :param line: without its end
        """
        if self.process.stdin is not None:
            self.process.stdin.write(f"{line}\n".encode())


def environment() -> dict[str, str]:
    """The environment of such a process."""
    return clean_environment() | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "NO_PROXY": "*"}


def peak_megabytes() -> float:
    """The most memory that this process has had; what getrusage tells includes that of whoever has started it."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024 / 1e6


@asynccontextmanager
async def start_all(
    commands: Sequence[Sequence[str]], environments: Sequence[dict[str, str]]
) -> AsyncIterator[list[Helper]]:
    """Start processes, wait until each is ready, and end those that are left.

    :param commands: their command lines
    """
    running: list[Helper] = []
    try:
        for command, variables in zip(commands, environments, strict=True):
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=variables,
                limit=_ROOM,
            )
            running.append(Helper(process))
        for helper in running:
            await line_of(helper)
        yield running
    finally:
        for helper in running:
            if helper.process.returncode is None:
                helper.process.kill()
            await helper.process.wait()


async def reports_of(helpers: Sequence[Helper]) -> list[dict[str, Any]]:
    """Close the processes' inputs and read what they report."""
    for helper in helpers:
        if helper.process.stdin is not None:
            await helper.process.stdin.drain()
            helper.process.stdin.close()
    return [json.loads(await line_of(helper)) for helper in helpers]


async def line_of(helper: Helper) -> str:
    """Read the next line that is for us; imported packages may say something first."""
    while helper.process.stdout is not None:
        line = (await helper.process.stdout.readline()).decode()
        if not line:
            break
        if line.startswith(("ready", "{")):
            return line
    raise RuntimeError("A process ended before it was told to.")


def figures_of(module: str, *arguments: object, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a module in a fresh process; return what it has printed in its last line, as JSON."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    output = subprocess.run(
        command, env=variables or environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures
