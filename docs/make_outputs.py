"""Run the commands of documentation pages and write under each what it prints: make_outputs.py [--quick] [PAGE ...].

Without arguments, the pages that `make test` runs. Each is run in a fresh folder. ``--quick`` trains in a third of the time at
more harm, as the tests do, which compare all but the numbers.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import pytest

from documented_commands import PageRunner, with_outputs

PAGES = [
    "docs/tutorial.md",
    "docs/how-to/prove-ownership.md",
    "docs/how-to/stamp-a-sibling.md",
    "docs/how-to/verify-an-api.md",
    "docs/how-to/when-something-goes-wrong.md",
]


def main() -> None:
    """Run the pages and write them."""
    with tempfile.TemporaryDirectory() as root:

        def made_once(name, make):
            folder = Path(root) / name
            if not folder.exists():
                folder.mkdir()
                make(folder)
            return folder

        quick = "--quick" in sys.argv
        for page in map(Path, [name for name in sys.argv[1:] if name != "--quick"] or [str(ROOT / name) for name in PAGES]):
            with pytest.MonkeyPatch.context() as patch:
                page = page.resolve()
                patch.chdir(tempfile.mkdtemp(dir=root))
                results = PageRunner(patch, made_once, quick=quick).run(page)
            page.write_text(with_outputs(page.read_text(encoding="utf-8"), results), encoding="utf-8")
            for result in results:
                print(f"{page.name}: {result.status} {result.command.partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
