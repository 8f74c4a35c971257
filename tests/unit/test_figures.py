"""Figures: what is drawn, in which ink, and the numbers behind."""

import re
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insignia.errors import MissingExtraError
from insignia.figures import Axis, Curve, Figure, _front, can_draw, draw

drawn = pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
GROWTH = Figure(
    "Evidence",
    "It grows.",
    Axis("keys"),
    Axis("by chance, once in", powers=True),
    (Curve("suspect", ((0, 0.0), (1, 1.5), (2, 3.1))), Curve("control", ((0, 0.0), (1, -0.04), (2, 0.2)))),
    (6.0, "proof"),
)
NAMED = Figure(
    "Left",
    "",
    Axis("cost", logarithmic=True),
    Axis("", ticks=((0.0, "first"), (-1.0, "second"))),
    (Curve("mark", ((1.0, 0.0), (300.0, -1.0)), ("first", "second"), joined=False),),
)


@drawn
def test_a_picture_is_of_the_page_s_ink_with_a_title_and_loads_nothing():
    picture = draw(GROWTH)
    tree = ElementTree.fromstring(picture)  # noqa: S314  our own drawing; it is well-formed

    assert tree.find("{*}title").text == "Evidence"
    assert tree.find("{*}desc").text == "It grows."
    assert "currentColor" in picture
    assert not re.search(r"#000000|#ffffff|<style|<script|<image|<metadata", picture)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', picture))
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"keys", "by chance, once in", "suspect", "control", "proof", "1,000"} <= set(texts)
    assert draw(GROWTH) == picture


@drawn
def test_two_pictures_on_a_page_share_no_names():
    ids = [set(re.findall(r'id="([^"]*)"', draw(figure))) for figure in (GROWTH, NAMED)]

    assert all(ids)
    assert not ids[0] & ids[1]


@drawn
def test_what_spans_a_factor_of_ten_is_drawn_by_factors():
    assert {"1", "10", "100"} <= set(re.findall(r">([^<>]+)</text>", draw(NAMED)))


@drawn
@settings(max_examples=15)
@given(st.text(max_size=60))
def test_no_name_leaves_its_place(name):
    hostile = f"{name}</text><script>$x_1$ \\frac"
    figure = GROWTH._replace(title=hostile, about=hostile, threshold=(1.0, hostile), curves=(Curve(hostile, ((0, 1.0),)),) * 2)
    picture = draw(figure)

    assert "<script" not in picture
    assert picture.count("<svg") == picture.count("</svg>") == 1


def test_numbers_are_a_column_for_each_curve_or_a_row_for_each_named_point():
    assert GROWTH.rows() == (
        ("keys", "suspect", "control"),
        [("0", "10^0.0", "10^0.0"), ("1", "10^1.5", "10^0.0"), ("2", "10^3.1", "10^0.2")],
    )
    assert NAMED.rows() == (("", "cost", ""), [("first", "1", "mark"), ("second", "300", "mark")])


def test_the_front_joins_the_points_that_no_other_beats_in_both():
    points = [(1.0, 5.0), (1.0, 4.0), (2.0, 4.0), (3.0, 1.0), (4.0, 2.0), (9.0, 0.0)]

    assert _front(points) == [(1.0, 4.0), (3.0, 1.0), (9.0, 0.0)]
    if can_draw():
        assert draw(NAMED._replace(front=True)).count("<path") == draw(NAMED).count("<path") + 1


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtraError, match=r"insignia\[report\]"):
        draw(GROWTH)
