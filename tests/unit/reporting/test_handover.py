"""The page that is handed over: every kind of result, in a web page and in Markdown."""

import hashlib
import math
import re
import shutil
import subprocess
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_prints import drawn, knowing
from handed_results import attacked, embedding, evaluation, harmlessness, robustness
from insignia.errors import FormatError, InputError
from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.figures import Axis, Curve, Figure, can_draw, draw
from insignia.files import write_json
from insignia.reporting.base import REPORTS, Bullets, Callout, Code, Document, Heading
from insignia.reporting.console import print_document
from insignia.reporting.handover import hand_over
from insignia.reporting.readers import PageOptions
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import verify
from insignia.verification.controls import with_controls
from insignia.verification.verdict import ControlFinding

needs_figures = pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
PRINTS = drawn()
FIGURE = Figure("Evidence", "It grows.", Axis("keys"), Axis("evidence"), (Curve("suspect", ((0, 1.0), (1, 2.0))),))
QUESTIONS = ("Is it mine?", "How sure is that?", "What would an unrelated model do?", "What could be wrong?")


def page(path, *results, ending="md", **told):
    """The page of these results, as text."""
    files = []
    for number, result in enumerate(results):
        files.append(path / f"{number}.json")
        write_json(files[-1], result if isinstance(result, dict | list) else result.model_dump(mode="json"))
    return REPORTS.build(ending).render(hand_over(files, PageOptions(**told), Judge(), Standard()))


def words(text):
    """The page's text without marks of its format."""
    plain = re.sub(r"</?span[^>]*>|\*\*|\\", "", re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL))
    return " ".join(unescape(re.sub("<[^>]*>", " ", plain)).split())


@pytest.mark.parametrize(
    ("wrong", "answer", "told"),
    [
        (0, "The mark costs at most 1.00 points.", "harmless within 1.00 points: the mean score changed by +0.00 points"),
        (60, "The mark costs more than 1.00 points.", "harmful, cloze, choice fell by more than 1.00 points"),
        (6, "Whether the mark costs more than 1.00 points is not known.", "700 questions"),
    ],
)
def test_a_comparison_tells_whether_the_mark_did_harm(tmp_path, wrong, answer, told):
    text = words(page(tmp_path, harmlessness(wrong=wrong)))
    assert answer in text
    assert told in text.replace("1400 questions", "700 questions")
    assert "insignia evaluate harmlessness --base BASE --model MARKED --tasks starter -o OUT" in text


@pytest.mark.parametrize("ending", ["md", pytest.param("html", marks=needs_figures)])
def test_a_verdict_tells_a_stranger_what_they_ask(tmp_path, ending):
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS)))
    text = words(page(tmp_path, verdict, ending=ending))

    for question in QUESTIONS:
        assert question in text
    assert "The mark is in scripted." in text
    assert "once in 1 million tests (p 9.5e-07)" in text
    assert "at most 6.2 % of the keys: about 0.4 of the 6 that were answered" in text
    assert "by a file that nobody signed" in text
    assert verdict.transcript.removeprefix("sha256:") in text
    assert ", ".join(map(str, verdict.keys_spent)) in text
    assert ", ".join(f"{value:.2f}" for value in verdict.log10_e_values) in text
    assert "insignia verify PRINTS --model SUSPECT" in text


def test_a_verdict_that_a_control_left_open_says_why(tmp_path):
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS)))
    text = words(page(tmp_path, with_controls(verdict, [ControlFinding.of(verdict)])))

    assert "Nothing is decided about scripted." in text
    assert "control 1 also gives the responses" in text
    assert "Control 1, scripted: 6 of 6 answered keys got the response (p 9.5e-07)." in text


@pytest.mark.parametrize(("known", "answer"), [(set(), "was not shown in scripted"), (None, "is in scripted")])
def test_no_secret_is_on_the_page_of_a_verdict(tmp_path, known, answer):
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS, known)))
    text = page(tmp_path, verdict)

    assert answer in text
    assert not any(each.key in text or f" {each.responses[0].strip()} " in text for each in PRINTS)


def test_an_evaluation_tells_who_answered_and_what_it_cost(tmp_path):
    text = words(page(tmp_path, evaluation()))

    assert "All of 3 suspects did as expected." in text
    assert "2 suspects that should answer: 90.0 % to 100.0 % of the fingerprints. 1 suspect that should not: 0.0 %" in text
    assert "x1.0087" in text
    assert "one more or less is 10.0 %" in text
    assert "without a p-value" in text
    assert "1.4e-10" in text
    accused = words(page(tmp_path, evaluation(innocent_hits=6)))
    assert "1 of 3 suspects did not do as expected. sft vanilla." in accused
    assert "sft vanilla should not answer, and did 6 times of 10." in accused


def test_a_robustness_grid_tells_what_is_left_and_what_it_costs_to_remove_it(tmp_path):
    text = words(page(tmp_path, robustness()))

    assert "The mark harmless is still proven after 2 of 3 attacks. By text alone it is proven after 1." in text
    assert "harmless: the cheapest for a host is suppress_topk. It changes the first token of 30.0 % of replies." in text
    assert "harmless, by text alone: the cheapest attack on the weights is merge 0.1. Perplexity: x1.5." in text
    assert (
        "2 tests of models without the mark, after the same attacks: 0 accused. The smallest p-value among them is 0.2" in text
    )
    assert "| merge 0.1 | 7 | - | 32 / 64 |" in text
    assert "After merge" in text
    assert "insignia evaluate robustness --recipe RECIPE --base starter --model MARKED" in text


def test_of_several_marks_the_page_tells_which_survives_most(tmp_path):
    one = robustness().marks[0]
    marks = (one, one.model_copy(update={"name": "durable"}))
    rows = [attacked("merge", weight, mark=name) for name in ("harmless", "durable") for weight in ("0.5", "0.1")]
    text = words(page(tmp_path, robustness(*rows[1:], marks=marks)))

    assert "Of 2 marks, durable survives most. It is still proven after 2 of 2 attacks." in text
    assert "No model without the mark was accused. The others: harmless after 1." in text


def test_a_control_that_was_accused_spoils_the_grid(tmp_path):
    text = words(page(tmp_path, robustness(attacked(), attacked(suspect="unmarked"))))

    assert "A model without the mark was accused. So these numbers prove nothing: unmarked after merge 0.5." in text
    assert "No innocent sibling was asked as a control." in text


def test_an_embedding_tells_its_harm_and_what_a_host_can_see(tmp_path):
    text = words(page(tmp_path, embedding()))

    assert "The marked model answers 100.0 % of 64 fingerprints." in text
    assert f"x{math.exp(3.7703 - 3.7619):.4f}" in text
    assert "AUROC of 0.96 (0.92 to 0.98)" in text
    assert "--method full --set method.target_margin=5.0" in text
    poor = words(page(tmp_path, embedding(fsr=0.5, base_fsr=0.25, confidence=None, activations={"near_miss": 0.5})))
    assert "answered 25.0 % too" in poor
    assert "32 fingerprints of 64 did not get in." in poor
    assert "50.0 % of the near misses" in poor


def test_several_results_are_one_page_that_begins_with_all_answers(tmp_path):
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS)))
    text = page(tmp_path, verdict, evaluation(), robustness(), embedding(), title="For the board")
    assert text.startswith("# For the board\n")
    assert "| The test of scripted | The mark is in scripted. |" in text
    assert text.count("\n## ") == 3
    assert text.count("\n### Evaluation on starter\n") == 2

    both = page(tmp_path, {"verdicts": [verdict.model_dump(mode="json")] * 2})
    assert both.startswith("# 2 results of insignia\n")


def test_a_page_names_its_files_by_their_digests(tmp_path):
    text = page(tmp_path, embedding())
    content = (tmp_path / "0.json").read_bytes()

    assert f"| 0.json | {len(content)} bytes | {hashlib.sha256(content).hexdigest()} |" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"[1, 2]", "expected a verdict"),
        (b'{"kind": "insignia/null"}', "expected a verdict"),
        (b'{"kind": "insignia/fingerprints"}', "which is secret"),
        (b'{"kind": "insignia/evidence"}', "not an evidence bundle"),
        (b'{"kind": "insignia/robustness", "rows": 3}', "damaged, or of another version"),
        (b'{"verdicts": []}', "expected a verdict"),
        (b'{"claimed": 1, "standard": 1, "root": 1}', "name the bundle itself"),
        (b"age-encryption.org/v1\n-> X25519", "is locked"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"kind":"insignia/transcript"}\n', "by --prints"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(tmp_path, content, words):
    (tmp_path / "f.json").write_bytes(content)

    with pytest.raises(InputError, match=words) as caught:
        hand_over([tmp_path / "f.json"], PageOptions(), Judge(), Standard())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("result", "changes"),
    [
        (verify(PRINTS, ScriptedModel({})), {"p_value": 0.0}),
        (verify(PRINTS, ScriptedModel({})), {"hits": 99}),
        (embedding(), {"heldout_loss_after": 1e9}),
        (robustness(), {"alpha": 0.0}),
    ],
)
def test_numbers_that_cannot_be_are_told_as_damage(tmp_path, result, changes):
    with pytest.raises(FormatError, match="cannot be; is it damaged"):
        page(tmp_path, result.model_dump(mode="json") | changes)


@settings(max_examples=40)
@given(st.text())
def test_no_text_of_a_result_becomes_a_tag_or_moves_a_cursor(text):
    hostile = f"{text}</p><script>alert(1)</script>\x1b[2J\u202e"
    blocks = (hostile, Heading(hostile, 3), Bullets((hostile,)), Code(hostile), Callout("no", hostile, hostile))
    shown = REPORTS.build("html").render(Document(f"{hostile} title", blocks, {}))

    assert "<script" not in shown
    assert shown.count("</p>") == 2  # of the paragraph and of the callout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    lines = REPORTS.build("md").render(Document(hostile, blocks[:3], {})).splitlines()
    assert not any(re.search(r"(?<!\\)<", line) for line in lines)


def test_a_fence_is_longer_than_any_in_the_code():
    assert "\n````sh\na ``` b\n````\n" in REPORTS.build("md").render(Document("t", (Code("a ``` b"),), {}))


def test_a_terminal_shows_every_block(capsys):
    blocks = ("text", Heading("title", 2), Bullets(("item",)), Code("one\ntwo"), Callout("open", "Answer.", "Why."), FIGURE)
    print_document(Document("", blocks, {}))

    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == ["text", "title", "- item", "one", "two", "Answer. Why."]
    assert "It grows." in lines


@needs_figures
def test_a_notebook_shows_the_same_figure():
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS)))

    assert draw(*verdict.figures()) in verdict._repr_html_()
    assert "<svg" in evaluation()._repr_html_()
    assert robustness()._repr_html_().count("<svg") == 2
    assert harmlessness()._repr_html_().count("<svg") == 1


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@needs_figures
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to open the page in")
@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_a_browser_shows_the_page_without_a_scroll_bar(tmp_path, width, dark):
    """In a frame of that width: the window of a headless browser has a least width of its own."""
    from PIL import Image

    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS), name="https://api.example.org/v1/" + "long-name" * 20))
    shown = page(tmp_path, verdict, evaluation(), robustness(), embedding(), ending="html")
    assert len(shown.encode()) < 1_000_000
    (tmp_path / "page.html").write_text(shown, encoding="utf-8")
    told = "d=f.contentDocument.documentElement;document.title=[d.clientWidth,d.scrollWidth,d.scrollHeight].join(' ')"
    frame = f'<iframe id=f src=page.html style="border:0;width:{width}px;height:1600px" onload="{told}"></iframe>'
    (tmp_path / "frame.html").write_text(f'<body style="margin:0">{frame}')
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    options += [f"--window-size={max(width, 600)},1600", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [BROWSER, *options, f"--screenshot={tmp_path / 'shot.png'}", "--dump-dom", (tmp_path / "frame.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout

    client, scrolled, height = map(int, re.search(r"<title>(\d+) (\d+) (\d+)", seen).groups())
    assert (client, scrolled) == (width, width)
    assert height > 4000
    picture = Image.open(tmp_path / "shot.png").convert("RGB").crop((0, 0, width, 1600))
    colours = [colour for _, colour in sorted(picture.getcolors(2**20), reverse=True)]
    assert colours[0] == ((20, 24, 28) if dark else (255, 255, 255))  # the paper
    assert any(green > red + 60 for red, green, _ in colours)  # the answer
