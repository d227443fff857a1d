"""How the rows of a batch are made from what users write: one for each image and style."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted, without_signature
from airflow_provider_wanx.dashscope.styles import (
    WanxStyle,
    check_style_reference,
    style_number,
    takes_reference,
)
from airflow_provider_wanx.jobs.pictures.source_rule import SourceRule

Styles = WanxStyle | int | str | Sequence[WanxStyle | int | str]
"""One style or several; several may also stand in one text, separated by semicolons."""


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A part of the input that cannot become an :class:`~airflow_provider_wanx.batch.row.Row`.

    :param place: where it stands, for example ``line 7``.
    :param reason: what is wrong with it.
    """

    place: str
    reason: str


def style_numbers(styles: Any) -> tuple[int, ...]:
    """Read one style or several, from an operator's argument or a manifest's cell.

    :param styles: see :data:`Styles`; None and empty text are none.
    :return: the numbers, each once, in the given order.
    :raises InvalidInputError: a name is not known.
    """
    match styles:
        case None:
            return ()
        case str():
            # Spreadsheets write 7.0 for 7 in a column with gaps.
            parts = (re.sub(r"^(\s*-?\d+)\.0+(\s*)$", r"\1\2", part) for part in re.split("[;；]", styles))
            found = [style_number(part) for part in parts if part.strip()]
        case Sequence():
            found = [number for each in styles for number in style_numbers(each)]
        case float() if styles.is_integer():
            # A column of numbers with gaps becomes one of floats in many tools.
            found = [int(styles)]
        case _:
            found = [style_number(styles)]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True)
class RowMaker:
    """Makes rows, with the operator's styles for the images that name none.

    :param styles: the service's numbers.
    :param style_reference: for rows with style -1.
    :param rule: who may name which source.
    """

    styles: tuple[int, ...]
    style_reference: str | None
    rule: SourceRule

    @property
    def identity(self) -> dict[str, Any]:
        """What of it makes an input another one."""
        reference = self.style_reference and without_signature(self.style_reference)
        return {"styles": list(self.styles), "style_reference": reference}

    def check_complete(self) -> None:
        """Refuse what cannot do for images that name no style and no reference themselves.

        :raises InvalidInputError: it cannot.
        """
        if not self.styles:
            raise InvalidInputError("styles is empty. Give one style or several for the images.")
        check_style_reference(self.styles, self.style_reference)

    def rows(
        self,
        *,
        place: str,
        image: object,
        style: object = None,
        style_reference: object = None,
        version: str | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> Iterator[Row | InvalidRow]:
        """Make one row for each style of an image, or one invalid row.

        :param place: where the image stands in the input.
        :param style: the image's own styles, instead of the operator's.
        :param style_reference: the image's own, instead of the operator's.
        :param version: what tells the picture from another one at the same address.
        """
        try:
            source = _text(image, "image")
            own_reference = _text(style_reference, "style_reference")
            styles = _cell_styles(style) or self.styles
            reference = own_reference or self.style_reference
            if not source:
                raise InvalidInputError("image is empty")
            if not styles:
                raise InvalidInputError("style is empty, and the operator's styles are not given")
            check_style_reference(styles, reference if takes_reference(styles) else own_reference)
            _check_text([source, own_reference, columns])
            self.rule.check(source, "image")
            if own_reference:
                self.rule.check(own_reference, "style_reference")
        except InvalidInputError as error:
            yield InvalidRow(place, str(error).rstrip("."))
            return
        for number in styles:
            yield Row(
                image=source,
                style=number,
                style_reference=reference if takes_reference((number,)) else None,
                image_version=version,
                columns=dict(columns or {}),
            )


def _text(value: object, field_name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInputError(f"{field_name} is no text: {quoted(value)}")
    text = value.strip()
    # What is left of a missing value that went through a template or a table.
    return "" if text == "None" else text


def _check_text(values: object) -> None:
    """Refuse halves of characters: JSON can spell them, but no file and no URL can hold them."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"it has a character that is none: {quoted(error.object[error.start])}"
        ) from None


def _cell_styles(value: object) -> tuple[int, ...]:
    try:
        return style_numbers(value)
    except InvalidInputError:
        # The full sentence lists all styles, which is too much for each of many rows.
        raise InvalidInputError(f"style {quoted(value)} is not known") from None
