"""Look for all facts: at the local DashScope, or with ``--live`` and the user's own key at the real service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from PIL import UnidentifiedImageError

from airflow_provider_wanx.cli.running import KEY_VARIABLE, open_client
from airflow_provider_wanx.dashscope import ClientConfig, ConfigurationError
from airflow_provider_wanx.dashscope.config import region_of
from airflow_provider_wanx.dashscope.repaint import CURRENCY, REPAINT_MODEL, REPAINT_PRICE
from tests.conformance.core import Finding, Verdict, judge
from tests.conformance.facts import FACTS
from tests.conformance.local import local_target
from tests.conformance.report import Report
from tests.conformance.service.pictures import PORTRAIT, jpeg
from tests.conformance.service.purse import MOST_IMAGES
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Target

HOLDS, DIFFERS, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

PLAN = """\
This asks {where} which of {facts} facts hold.

Cost      {most} images at most, {price} {currency} (model {model}, {each} {currency} each). Other tasks fail or are canceled,
          which is free. Whatever could exceed the number of images that you allow is left out.
Pictures  {portrait}, smaller, wider and larger versions of it, and what the service makes of it. They go to the
          service's temporary store (48 hours) and into tasks (24 hours). Nothing else of this machine is sent.
Account   About 15 tasks appear in its list, most of them FAILED. For some seconds its limits are exceeded on purpose, so that
          its other programs may be refused; --gentle (GENTLE=1 with make) leaves that out.
Report    {report}/conformance.md and .json, without key, ids and signatures.
"""

CONSENT = """\
Nothing was sent. To allow it, say how many images may be paid for:
  make live IMAGES={most}        (or --images {most}; 0 leaves out everything that could cost an image)
"""


def main(arguments: list[str] | None = None) -> int:
    """Look for all facts and write the report.

    :param arguments: the command line; None takes the process's own.
    :return: exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        if not options.live:
            with local_target() as target:
                return _run(target, options.report)
        target = _live_target(options)
    except (ConfigurationError, OSError, UnidentifiedImageError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return WRONG_USE
    most = MOST_IMAGES if options.images is None else options.images
    sys.stdout.write(
        PLAN.format(
            where=target.name,
            facts=len(FACTS),
            most=most,
            price=most * REPAINT_PRICE,
            each=REPAINT_PRICE,
            currency=CURRENCY,
            model=REPAINT_MODEL,
            portrait=options.portrait.name,
            report=options.report,
        )
    )
    if options.images is None:
        sys.stdout.write(CONSENT.format(most=MOST_IMAGES))
        return WRONG_USE
    return _run(target, options.report)


def _live_target(options: argparse.Namespace) -> Target:
    if not os.environ.get(KEY_VARIABLE) and not options.connection:
        raise ConfigurationError(
            f"there is no key. Put it into {KEY_VARIABLE}, or name an Airflow connection with --connection."
        )
    with open_client(options) as client:
        config = client.config
    portrait = options.portrait.read_bytes()
    # Whether it is a picture is known before anything is sent.
    jpeg(portrait)
    return Target(
        name=_place(config),
        config=config,
        portrait=portrait,
        images=options.images or 0,
        bursts=not options.gentle,
    )


def _place(config: ClientConfig) -> str:
    """Name the service without the workspace that its host may begin with."""
    region = region_of(config.base_url)
    if region is None:
        return "the service at another host"
    shared = config.base_url.startswith("https://dashscope") or ".dashscope." in config.base_url
    return f"the live service ({'shared host' if shared else 'host of a workspace'}, {region})"


def _run(target: Target, folder: Path) -> int:
    began = datetime.now(UTC)
    findings: list[Finding] = []
    interrupted = False
    with _visiting(target) as visit:
        try:
            for fact in FACTS:
                findings.append(judge(fact, visit))
                sys.stderr.write(f"{findings[-1].verdict:13} {fact.name}: {findings[-1].seen}\n")
        except KeyboardInterrupt:
            interrupted = True
    report = Report(
        target=target.name,
        began=began,
        findings=findings,
        paid=visit.wire.purse.paid,
        unsettled=visit.wire.purse.pending,
    )
    report.write(folder)
    sys.stdout.write(
        f"\n{report.markdown()}\nWritten to {folder}/conformance.md and .json. {report.spent()}.\n"
    )
    for task_id in visit.wire.purse.unsettled:
        sys.stderr.write(f"No end was seen of task {task_id}.\n")
    if interrupted:
        return INTERRUPTED
    differing = (
        [each for each in findings if each.verdict is Verdict.DIFFERS] if target.strict else report.differing
    )
    return DIFFERS if differing else HOLDS


@contextmanager
def _visiting(target: Target) -> Iterator[Visit]:
    visit = Visit(target)
    try:
        yield visit
    finally:
        visit.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Look for every fact about the service that a client can observe, and write a report.",
        epilog="Exit codes: 0 all documented and recorded facts hold, or were not observed; 1 one differs; 2 nothing was sent.",
    )
    parser.add_argument("--live", action="store_true", help="ask the real service, not the local DashScope")
    parser.add_argument(
        "--images",
        type=int,
        choices=range(MOST_IMAGES + 1),
        metavar="N",
        help=f"with --live: consent to paying for so many images, 0 to {MOST_IMAGES}; nothing is sent without it",
    )
    parser.add_argument(
        "--portrait", type=Path, default=PORTRAIT, help="portrait to send (default: a public one)"
    )
    parser.add_argument("--gentle", action="store_true", help="do not exceed the account's limits on purpose")
    parser.add_argument(
        "--connection", metavar="ID", help=f"Airflow connection to take instead of the key in {KEY_VARIABLE}"
    )
    parser.add_argument("--host", metavar="URL", help=f"base URL that goes with {KEY_VARIABLE}")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(".conformance"),
        help="folder for the report (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
