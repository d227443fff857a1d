"""The directive ``wanx-table``, which takes the name of one of :data:`wanx_table_texts.TABLES` and shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.util.docutils import SphinxDirective
from wanx_table_texts import TABLES

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class WanxTable(SphinxDirective):
    """Show one of the tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the table's Markdown in place."""
        name = self.arguments[0]
        if name not in TABLES:
            raise self.error(f"There is no table {name!r}; there are {', '.join(TABLES)}.")
        # The code behind the table may have changed since the last build, even if the page has not.
        self.env.note_reread()
        return self.parse_text_to_nodes(TABLES[name]())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("wanx-table", WanxTable)
    return {"parallel_read_safe": True}
