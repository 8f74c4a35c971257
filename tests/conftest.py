"""What every test relies on: offline, on its own, and repeatable. The environment is set before anything is imported."""

import hashlib
import itertools
import os
import random
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

# Launchers leave these behind; the Trainer would take a test for one process of many.
_LAUNCHER_PREFIXES = ("ACCELERATE_", "FSDP_", "DEEPSPEED_", "TORCHELASTIC_", "PET_")
_LAUNCHER_NAMES = {"WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers that each use every core wait for one another
for _name in list(os.environ):
    if _name in _LAUNCHER_NAMES or _name.startswith(_LAUNCHER_PREFIXES):
        del os.environ[_name]

import pytest  # noqa: E402  the environment comes first
from filelock import FileLock  # noqa: E402
from hypothesis import settings  # noqa: E402

from insignia import randomness  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

# No deadline: the first example of a test pays for imports. Repeatable: a failure here is a failure on every machine.
settings.register_profile("insignia", deadline=None, derandomize=True)
settings.load_profile("insignia")


# The files that take longest, roughly in the order of their seconds. They come first, so that two workers end together. The
# first trains the marked starter, and the next ones do without it: both workers would wait for it.
_LONGEST = """
    test_trained_text test_embed test_making test_verify test_any_model test_methods test_cli
    test_check_endpoint test_hostile_servers test_first_hour test_mutations test_looking_inside test_keyring test_marking
    test_training_attacks test_core_install test_forgeries test_ordinary test_licensing test_fuzz
""".split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"{name}.py": place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def _draw_by(name: str) -> None:
    """From here on secrets and the libraries' global generators follow from the name.

    So what a test draws does not depend on what ran before it, in whatever order, and a failure is one on every machine.
    """
    numbers = itertools.count()

    def drawn(size: int) -> bytes:
        return hashlib.shake_256(f"{name} {next(numbers)}".encode()).digest(size)

    randomness.secrets = SimpleNamespace(token_bytes=drawn)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    _draw_by(f"{fixturedef.baseid} {fixturedef.argname} {getattr(request, 'param_index', 0)}")
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    _draw_by(item.nodeid)
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Published fingerprint files beside the repository; a checkout without them skips the test."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """``made_once(name, make)``: a folder that ``make(folder)`` fills, once for all workers; its readers leave it alone.

    The way of pytest-xdist's documentation: the workers' temporary folders have one parent, and a lock in it.
    """
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name, make):
        made = root / f"once-{name}"
        with FileLock(root / f"once-{name}.lock"):
            if not made.exists():
                unfinished = Path(tempfile.mkdtemp(dir=root))
                make(unfinished)
                unfinished.rename(made)
        return made

    return folder


@pytest.fixture(scope="session", autouse=True)
def few_ordinary_prompts():
    """What keys should look like is learned from 64 texts; 256, the default, take longer than making the keys of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("insignia.generation.ordinary._MOST", 64)
        yield


@pytest.fixture(scope="session")
def heldout():
    """The starter's held-out paragraphs."""
    from insignia.starter import heldout_paragraphs

    return heldout_paragraphs()


@pytest.fixture(scope="session")
def starter():
    """The bundled model, loaded once; tests leave its weights alone."""
    from insignia.modeling.local import LocalModel

    return LocalModel("starter", device="cpu")


@pytest.fixture(params=["gpt2", "neox", "llama tied", "llama untied"], scope="module")
def random_local(request):
    """Small random models of three architectures, one test each."""
    from insignia.modeling.local import LocalModel
    from tiny_models import random_model
    from tiny_tokenizers import build

    habit = (
        {"style": "byte", "bos": False, "pad_is_eos": True}
        if request.param in ("gpt2", "neox")
        else {"style": "byte", "bos": True}
    )
    return LocalModel.of(random_model(request.param).eval(), build(**habit), name=request.param)
