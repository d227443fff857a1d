"""Arguments as users give them: through templates, forms and tasks, where numbers become text, and nothing becomes "None"."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wanx.dashscope.api.endpoints import check_task_id
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.exceptions import airflow_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from jinja2 import Environment

_EXPRESSION = re.compile(r"\s*\{\{[-+]?((?:(?!\}\}|\{\{|\{%|\{#).)+?)[-+]?\}\}\s*", re.DOTALL)
"""A template that is one expression and nothing else."""

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")

_UNKNOWN: Any = object()


class KeepsTypes:
    """Renders templates without changing types, whatever the DAG's ``render_template_as_native_obj`` says.

    A template that is one expression gives what the expression is: a number, a list, nothing. All others give text, and text
    stays text: with native rendering Airflow makes numbers of prompts like ``1984`` and of dates like ``20260101``.

    ``texts`` are the arguments that are text, each with what nothing stands for; ``switches`` those that are yes or no, each
    with its name for messages.
    """

    texts: ClassVar[Mapping[str, str | None]] = {}
    switches: ClassVar[Mapping[str, str]] = {}

    def keep_none(self, **arguments: object) -> None:
        """Remember for which arguments the DAG's author has written None, and means it; called by constructors."""
        vars(self)["_none_is_meant"] = {name for name, value in arguments.items() if value is None}

    def read_arguments(self) -> None:
        """Read texts and switches as they are after rendering.

        :raises InvalidInputError: one is none.
        """
        for name, otherwise in self.texts.items():
            value = text(name, getattr(self, name))
            if value is None and name not in vars(self).get("_none_is_meant", ()):
                value = otherwise
            setattr(self, name, value)
        for name, shown in self.switches.items():
            setattr(self, name, switch(shown, getattr(self, name)))

    @contextmanager
    def arguments_read(self) -> Iterator[None]:
        """Read the arguments, and let this package's errors leave the block as Airflow's."""
        with airflow_errors():
            self.read_arguments()
            yield

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render an argument; called by Airflow."""
        parent: Any = super()
        if not isinstance(content, str):
            return parent.render_template(content, context, jinja_env, seen_oids)
        env: Environment = jinja_env or self.get_template_env()  # type: ignore[attr-defined]
        if (only := _EXPRESSION.fullmatch(content)) is not None:
            found = _evaluated(env, only[1], context)
            if found is not _UNKNOWN:
                return found
        rendered = parent.render_template(content, context, env, seen_oids)
        return rendered if isinstance(rendered, str) else _text_of(env, content, context)


def _evaluated(env: Environment, expression: str, context: Context) -> Any:
    """Return what an expression is; what is wrong with it, Airflow's own rendering says better."""
    from jinja2 import TemplateError, Undefined

    try:
        found = env.compile_expression(expression, undefined_to_none=False)(_variables(context))
    except TemplateError:
        return _UNKNOWN
    return _UNKNOWN if isinstance(found, Undefined) else found


def _text_of(env: Environment, content: str, context: Context) -> str:
    template = env.from_string(content)
    return "".join(map(str, template.root_render_func(template.new_context(_variables(context)))))


def _variables(context: Context) -> dict[str, Any]:
    with warnings.catch_warnings():
        # Airflow 2 warns of variables that it will give up, whether a template uses them or not.
        warnings.simplefilter("ignore")
        return dict(context)


def given(value: Any) -> Any:
    """Return what was given; None for what a form leaves empty and for what is left of nothing in a text."""
    return None if isinstance(value, str) and value.strip() in ("", "None") else value


def text(name: str, value: Any) -> str | None:
    """Read a text; numbers are text too, such as the name of a bucket that has digits only.

    :raises InvalidInputError: it is none; the message says what it is instead.
    """
    value = given(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    refuse_a_task(name, value)
    if isinstance(value, list | tuple):
        raise InvalidInputError(
            f"{name} is a list of {len(value)}, and takes one. Map the task over it: .partial(…).expand({name}=…)."
        )
    raise InvalidInputError(f"{name} must be text, not {type(value).__name__}: {quoted(value)}.")


def switch(name: str, value: Any) -> bool:
    """Read a switch that may have gone through a template; nothing is False.

    :raises InvalidInputError: it is neither yes nor no.
    """
    word = str(value).strip().lower()
    if given(value) is None or word in _FALSE:
        return False
    if word in _TRUE:
        return True
    raise InvalidInputError(f"{name} must be true or false, not {quoted(value)}.")


def check_switches(**switches: Any) -> None:
    """Refuse text where no template is rendered: every text would count as True.

    :raises ValueError: one is no bool.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, and is no template: {quoted(value)}.")


def check_seconds(name: str, value: float | timedelta) -> float:
    """Read a length of time.

    :raises ValueError: it is not a positive number of seconds.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}.")
    return float(seconds)


def task_ids(value: object) -> list[str]:
    """Read what a user gives as ``dashscope_task_id``: one id, or any list of ids.

    :raises InvalidInputError: there is none, or something in it is not an id.
    """
    value = given(value)
    refuse_a_task("dashscope_task_id", value)
    ids = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if value is None or (not ids and isinstance(value, Sequence)):
        raise InvalidInputError(
            "dashscope_task_id is empty: the submitting task has returned nothing, was skipped, or was mapped over an empty "
            "list."
        )
    if not ids:
        raise InvalidInputError(f"dashscope_task_id {quoted(value)} is neither an id nor a list of ids.")
    try:
        return list(dict.fromkeys(check_task_id(one) for one in ids))
    except InvalidInputError as error:
        raise InvalidInputError(f"dashscope_task_id: {error} Did the submitting task return one?") from None


def refuse_a_task(name: str, value: Any) -> None:
    """Refuse an Airflow task in place of what it returns.

    :raises InvalidInputError: it is one.
    """
    if hasattr(value, "output") and hasattr(value, "task_id"):
        raise InvalidInputError(
            f"{name} is the task {value.task_id} itself. Give its result: {value.task_id}.output."
        )
