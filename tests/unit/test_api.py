"""What ``import insignia`` gives: light, complete, and explained."""

import pydoc
import subprocess
import sys

import insignia

STAGES = {"generate", "embed", "check", "vector", "stamp", "finetune", "evaluate"}


def test_every_listed_name_exists_and_every_stage_is_listed():
    assert set(dir(insignia)) >= {
        *STAGES,
        "Keyring",
        "Endpoint",
        "FingerprintSet",
        "InsigniaError",
        "load_fingerprints",
        "quiet",
    }
    for name in dir(insignia):
        assert getattr(insignia, name) is not None


def test_import_loads_neither_torch_nor_numpy_nor_pydantic():
    code = "import sys, insignia; print(*({'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.split() == []


def test_help_fits_two_screens_and_shows_every_stage_but_the_researchers():
    lines = pydoc.render_doc(insignia, renderer=pydoc.plaintext).splitlines()

    rooms = lines.index("PACKAGE CONTENTS")
    assert rooms <= 25
    assert len(lines) <= 66
    for stage in STAGES - {"finetune", "evaluate"}:
        assert f"insignia.{stage}(" in "\n".join(lines[:rooms])
    assert "ring.verify(insignia.Endpoint(" in "\n".join(lines[:rooms])
