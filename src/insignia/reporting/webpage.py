"""Reports as web pages: one file, no script, nothing that is loaded from elsewhere."""

import html
from typing import Literal

from insignia.reporting.base import Document, Format, Table
from insignia.terminal import printable

__all__ = ["WebPage"]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }}
caption {{ text-align: left; font-weight: bold; }}
th, td {{ border-bottom: 1px solid #8888; padding: .3rem .8rem; text-align: right; overflow-wrap: anywhere; }}
th:first-child, td:first-child, .left th, .left td {{ text-align: left; }}
</style>
</head>
<body>
<h1>{title}</h1>
{blocks}
</body>
</html>
"""


class WebPage(Format):
    """A web page in one file, without scripts."""

    name: Literal["html"] = "html"

    def render(self, document: Document) -> str:
        """See ``Format.render``."""
        blocks = [_table(block) if isinstance(block, Table) else f"<p>{_plain(block)}</p>" for block in document.below_title()]
        return _PAGE.format(title=_plain(document.title), blocks="\n".join(blocks))


def _table(table: Table) -> str:
    caption = f"<caption>{_plain(table.title)}</caption>\n" if table.title else ""
    header = f"<thead>{_row('th', table.header)}</thead>\n" if any(table.header) else ""
    rows = "\n".join(_row("td", row) for row in table.rows)
    note = f"\n<p>{_plain(table.note)}</p>" if table.note else ""
    return f"<table{' class=left' if table.left else ''}>\n{caption}{header}<tbody>\n{rows}\n</tbody>\n</table>{note}"


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_plain(cell)}</{tag}>' for cell in cells)}</tr>"


def _plain(text: str) -> str:
    return html.escape(printable(text))
