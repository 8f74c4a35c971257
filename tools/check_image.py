"""Run the steps of the Dockerfile in a clean folder, where no container builder is at hand.

python tools/check_image.py                                 # core only; takes wheels from the package index
python tools/check_image.py --extras torch,gguf,report

It makes what the last stage has, a virtual environment from the pinned wheels, and starts ENTRYPOINT in it: with the image's
ENV and no other, as the user of USER where this script runs as root, and without a network where the kernel allows that. It
cannot check the base image, and says what it did not do.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
USER_ID = 10001


def instructions(text):
    """(name, rest) of every instruction, continuation lines joined."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def arguments(steps, given):
    """Build arguments with their defaults."""
    defaults = dict(rest.split("=", 1) for name, rest in steps if name == "ARG")
    return defaults | given


def filled(text, values):
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text)


def build(steps, values, root):
    """Run COPY and RUN of the first stage, with its absolute paths below ``root``."""
    source = root / "src"
    source.mkdir()
    for name, rest in steps:
        command = filled(rest, values)
        if name == "COPY":
            *names, target = shlex.split(command)
            for each in names:
                place = source if target.endswith("/") else source / target
                copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy2
                copy(ROOT / each, place if copy is shutil.copytree else place / each)
        if name == "RUN":
            command = command.replace("/opt/insignia", str(root / "insignia")).replace(
                "python -m venv", f"{sys.executable} -m venv"
            )
            print(f"RUN {command}", flush=True)
            subprocess.run(shlex.split(command), check=True, cwd=source, env={"PATH": os.environ["PATH"], "HOME": str(root)})


def started(steps, root, *arguments):
    """Run ENTRYPOINT with these arguments as the image would; return the finished process."""
    environment = {}
    for rest in (rest for name, rest in steps if name == "ENV"):
        environment |= dict(part.split("=", 1) for part in shlex.split(rest))
    environment["HOME"] = str(root / "home")  # of nobody else, unlike /tmp here
    environment["PATH"] = environment["PATH"].replace("/opt/insignia", str(root / "insignia")).replace("$PATH", "/usr/bin:/bin")
    alone = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    user = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"] if os.geteuid() == 0 else []
    print(f"without a network: {bool(alone)}; as user {USER_ID}: {bool(user)}", flush=True)
    command = [*alone, *user, str(root / "insignia" / "bin" / "insignia"), *arguments]
    return subprocess.run(command, check=True, cwd=root / "home", env=environment, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="timestamp,licensing")
    parser.add_argument("--index", default="https://pypi.org/simple", help="where torch comes from")
    options = parser.parse_args()
    steps = instructions((ROOT / "Dockerfile").read_text())
    first = [number for number, (name, _) in enumerate(steps) if name == "FROM"]
    values = arguments(steps, {"EXTRAS": options.extras, "TORCH_INDEX": options.index})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        build(steps[first[0] : first[1]], values, root)
        (root / "home").mkdir()
        (root / "home").chmod(0o777)
        size = sum(file.stat().st_size for file in (root / "insignia").rglob("*") if file.is_file() and not file.is_symlink())
        print(f"{size / 1e6:.0f} MB beside the base image")
        last = steps[first[1] :]
        print(started(last, root, "--help").strip().splitlines()[0])
        print(started(last, root, "env"))
        if "torch" in options.extras:
            print(started(last, root, "demo", "--quiet"))
    print("Not checked: the base image, useradd, and the layers of the result.")


if __name__ == "__main__":
    main()
