"""Reports as web pages: one file, no script, nothing that is loaded from elsewhere, for screens of any width and for paper."""

import functools
import re
from typing import TYPE_CHECKING, Any, Literal

from insignia.figures import draw
from insignia.reporting.base import Block, Document, Figure, Format, Table
from insignia.terminal import printable

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

__all__ = ["WebPage"]

_NUMBER = re.compile(r"\d[\d.]*e-\d+|\d[\d.,]* %")  # what a line must not break in: 9.5e-07, 6.2 %


class WebPage(Format):
    """A web page in one file, without scripts."""

    name: Literal["html"] = "html"

    def render(self, document: Document) -> str:
        """See ``Format.render``.

        Raises:
            MissingExtraError: the document has a figure, and matplotlib is not installed.
        """
        return _template().render(title=document.title, blocks=[_shown(block) for block in document.below_title()]) + "\n"


@functools.cache
def _template() -> "Template":
    """The page. What is put into it is escaped and made printable, whatever it is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("insignia.reporting", "."),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["prose"] = _prose
    return made.get_template("page.html.jinja")


def _prose(text: str) -> "Markup":
    """The text, escaped, with numbers that stay on one line."""
    from markupsafe import Markup, escape

    return Markup(_NUMBER.sub(r'<span class="n">\g<0></span>', str(escape(printable(text)))))  # noqa: S704  escaped


def _finalized(value: Any) -> Any:
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _shown(block: Block) -> dict[str, Any]:
    """What the template reads of a block."""
    from markupsafe import Markup

    kind = "paragraph" if isinstance(block, str) else type(block).__name__.lower()
    shown: dict[str, Any] = {"kind": kind, "block": block}
    if isinstance(block, Figure):
        shown |= {"picture": Markup(draw(block)), "table": Table.behind(block)._replace(title="", note="")}  # noqa: S704  our own drawing, which escapes names
    return shown
