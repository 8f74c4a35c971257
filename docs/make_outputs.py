"""Run the commands of documentation pages and write under each what it prints: ``make_outputs.py [--quick] [PAGE ...]``.

Without pages, those that ``make test`` runs. Each is run in a fresh folder. ``--quick`` trains in a third of the time at more
harm, as the tests do, which compare all but the numbers.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import pytest

from documented_commands import PageRunner, with_outputs

DOCS = Path(__file__).resolve().parent
PAGES = [DOCS / "tutorial.md"] + [
    DOCS / "how-to" / name
    for name in (
        "hand-over-a-report.md",
        "prove-ownership.md",
        "publish-a-marked-model.md",
        "stamp-a-sibling.md",
        "verify-an-api.md",
        "when-something-goes-wrong.md",
    )
]


def main() -> None:
    """Run the pages and write them."""
    named = [Path(name).resolve() for name in sys.argv[1:] if name != "--quick"]
    with tempfile.TemporaryDirectory() as root:

        def made_once(name: str, make: Callable[[Path], None]) -> Path:
            folder = Path(root) / name
            if not folder.exists():
                folder.mkdir()
                make(folder)
            return folder

        for page in named or PAGES:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tempfile.mkdtemp(dir=root))
                results = PageRunner(patch, made_once, quick="--quick" in sys.argv).run(page)
            page.write_text(with_outputs(page.read_text(encoding="utf-8"), results), encoding="utf-8")
            for result in results:
                print(f"{page.name}: exit status {result.status} of {result.command.partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
