"""Documents in every format."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from insignia.errors import OutputError
from insignia.files import json_bytes
from insignia.reporting.base import REPORTS, Document, Table, refuse_format, told, write_report
from insignia.reporting.console import print_document
from insignia.reporting.output import Reported
from insignia.terminal import printable

HOSTILE = "<script>alert(1)</script> | [x](javascript:y) ![z](http://a) **b** `c` \x1b[2J\u202e\nnext & \"quoted\" 'so'"
TABLE = Table.of("Rates", ["", HOSTILE], [["hits", "3 / 4"], [HOSTILE, "100.0 %"]], note="a note")
DOCUMENT = Document("Verdict", (TABLE, HOSTILE, "The mark is there."), {"name": HOSTILE})


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def rendered(name, document=DOCUMENT):
    return REPORTS.build(name).render(document)


def test_a_web_page_stands_alone_and_runs_nothing_of_a_suspect_s():
    page = rendered("html")
    seen = Tags()
    seen.feed(page)

    assert set(seen.tags) <= set(
        "html head meta title style body main h1 div span table caption thead tbody tr th td p".split()
    )
    assert not {"src", "href", "onload", "onclick"} & set(seen.attributes)
    assert "color-scheme: light dark" in page
    assert "default-src 'none'" in page
    assert seen.texts.count(printable(HOSTILE)) == 3
    assert "<script" not in page


def test_markdown_holds_nothing_of_a_suspect_s_that_is_read_as_markdown():
    text = rendered("md")
    lines = text.splitlines()

    assert lines[0] == "# Verdict"
    assert "## Rates" in lines
    assert "| hits | 3 / 4 |" in lines
    assert "| --- | ---: |" in lines
    assert re.search(r"(?<!\\)[<\[`*]", text) is None
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines if line.startswith("|"))
    assert "\x1b" not in text


def test_a_title_that_a_table_repeats_is_written_once():
    document = Document("Rates", (TABLE, "Rates", "after"), {})

    assert rendered("md", document).count("Rates") == 1
    assert rendered("html", document).count("Rates") == 2  # in the page and in the tab


def test_json_is_the_plain_data_as_files_are_written(tmp_path):
    write_report(DOCUMENT, tmp_path / "v.json")
    write_report(DOCUMENT, tmp_path / "v")

    assert (tmp_path / "v.json").read_bytes() == (tmp_path / "v").read_bytes() == json_bytes(DOCUMENT.data)


def test_what_is_piped_has_no_borders_and_every_cell(capsys):
    print_document(DOCUMENT)
    out = capsys.readouterr().out

    assert out.splitlines()[0].strip() == "Rates"
    assert re.search(r"hits +3 / 4", out)
    assert "a note" in out
    assert out.splitlines()[-1] == "The mark is there."
    assert not set("┃│─━") & set(out)


@pytest.mark.parametrize("name", ["v.pdf", "v.jsn", "v.md.bak"])
def test_an_unknown_ending_is_refused_with_the_known_ones(name):
    with pytest.raises(OutputError, match=r"ends in one of \.html, \.json, \.md"):
        refuse_format(Path(name))


def test_a_report_is_written_shown_and_ended_with_its_status(tmp_path, capsys):
    output = Reported(output=tmp_path / "r.md", as_json=True)
    with pytest.raises(SystemExit) as ended:
        output.finish(told("one", "two", hits=3), 3)

    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out) == {"hits": 3}
    assert (tmp_path / "r.md").read_text().endswith("one\n\ntwo\n")
    with pytest.raises(OutputError, match="exists"):
        output.refuse_output()
