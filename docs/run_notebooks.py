"""Run the notebooks of the documentation and keep what their cells show: ``run_notebooks.py [NOTEBOOK ...]``.

Cells run one after another in a fresh folder, by ``exec``: a notebook of plain Python needs no kernel. A cell's last expression
is kept as a notebook shows it, as HTML with the figures of reports, or as text.
"""

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = sorted(Path(__file__).resolve().parent.glob("*.ipynb"))


def cells_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells with code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cell(cell: dict[str, Any], names: dict[str, Any]) -> Any:
    """Run a cell's code in these names; returns the value of its last line, if that is an expression."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102  our own notebook
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307  as above


def shown(value: Any, printed: str, number: int) -> list[dict[str, Any]]:
    """What a notebook shows under a cell."""
    outputs: list[dict[str, Any]] = []
    if printed:
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data})
    return outputs


def main() -> None:
    """Run the notebooks and write what they show into them."""
    import insignia  # noqa: PLC0415  its location, and its progress

    insignia.quiet()
    for path in [Path(name).resolve() for name in sys.argv[1:]] or NOTEBOOKS:
        notebook, names = json.loads(path.read_text(encoding="utf-8")), {"__name__": "__main__"}
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for number, cell in enumerate(cells_of(notebook), 1):
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    value = run_cell(cell, names)
                cell.update(execution_count=number, outputs=shown(value, printed.getvalue(), number))
                print(f"{path.name}: cell {number}", flush=True)
        path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    main()
