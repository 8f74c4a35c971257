"""The image: without root, offline, and made of nothing but the package."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECK = runpy.run_path(str(ROOT / "tools" / "check_image.py"), run_name="check_image")
STEPS = CHECK["instructions"]((ROOT / "Dockerfile").read_text())


def of(name):
    return [rest for found, rest in STEPS if found == name]


def test_it_runs_without_root_and_offline():
    (user,), (environment,) = of("USER"), of("ENV")
    assert user == "insignia"
    assert f"--uid {CHECK['USER_ID']}" in of("RUN")[-1]
    assert "HF_HUB_OFFLINE=1" in environment
    assert [name for name, _ in STEPS].index("USER") > max(n for n, (name, _) in enumerate(STEPS) if name == "RUN")


def test_it_copies_nothing_but_what_the_ignore_file_lets_through():
    copied = {name for rest in of("COPY") if not rest.startswith("--from") for name in rest.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines
    assert all((ROOT / name).exists() for name in copied)


def test_every_wheel_is_pinned():
    (install,) = [rest for rest in of("RUN") if "pip install" in rest]
    assert "--constraint constraints.txt" in install
    assert CHECK["filled"](install, CHECK["arguments"](STEPS, {"EXTRAS": "torch"})).endswith('".[torch]"')
