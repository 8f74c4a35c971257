from insignia.evaluation import habits
from insignia.evaluation.habits import Habits
from insignia.suspects.base import Reply


class Echo:
    name, may_refuse = "echo", False

    def __init__(self, said="yes"):
        self.asked, self._said = [], said

    def reply(self, questions, options):
        self.asked.append((questions, options))
        return (Reply(status="answered", text=self._said[: options.max_tokens]) for _ in questions)


def test_ordinary_prompts_are_the_same_each_time_and_as_many_for_a_chat():
    for form in ("raw", "chat"):
        echo = Echo()
        Habits.of(echo, form)
        Habits.of(echo, form)
        (openings, first), (replies, more), again, _ = echo.asked
        assert (openings, first) == again
        assert openings == replies
        assert len(openings) == habits._PROMPTS
        assert (first.max_tokens, first.temperature, first.form) == (1, 0, form)
        assert more.max_tokens > 1


def test_change_is_told_by_first_tokens_and_lengths():
    before = Habits(("a", "b", "c", "d"), 10)
    assert Habits(("a", "b", "c", "e"), 5).changed_since(before) == 0.25
    assert Habits(("a", "b", "c", "e"), 5).length_since(before) == 0.5
    assert before.length_since(Habits(("",), 0)) is None
    assert Habits.of(Echo("word"), "raw") == Habits(("w",) * habits._PROMPTS, 4)
