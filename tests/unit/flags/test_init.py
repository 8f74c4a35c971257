"""The commented recipe, and what a verb takes from it."""

import itertools
import re

import pytest
import yaml

from insignia.cli import main
from insignia.flags.commented import commented
from insignia.flags.parameters import fields
from insignia.recipes import _plain

STAGES = main.stages()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.section)
def test_a_section_as_written_says_the_defaults(stage):
    written = _plain(_plain(yaml.safe_load(commented(stage)))[stage.section])

    for record in stage.records:
        made = record(**{name: value for name, value in written.items() if name in fields(record)})
        plain = [name for name, field in fields(record).items() if not field.is_required()]
        if stage.section != "evaluation":  # its usual recipe is an example, not the defaults
            assert {name: getattr(made, name) for name in plain} == {
                name: record.model_fields[name].get_default(call_default_factory=True, validated_data={}) for name in plain
            }
    for key, parts in stage.parts.items():
        assert parts.registry.build(written[key]) == parts.registry.get(parts.usual)()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.section)
def test_every_setting_has_a_sentence_before_it(stage):
    lines = commented(stage).splitlines()

    for before, line in itertools.pairwise(lines):
        inside = re.match(r" +\w+: [{]", line) and len(line) - len(line.lstrip()) > 2  # of a mapping, such as an attack
        if not inside and not line.strip().startswith(("#", "name:", "strategy:\n", "method:\n")):
            assert before.strip().startswith("#"), line
