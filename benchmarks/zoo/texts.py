"""Text to train on, from nowhere but this machine: Python's own English, and grammars that write Chinese and Russian.

A document keeps to a few nouns of its own, and words have frequencies of their own, so that there is something to learn
beyond the grammar. One document in twenty is held out.
"""

# ruff: noqa: RUF001  these letters are what they look like

import itertools
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from insignia.starter import heldout_paragraphs
from zoo.corpus import training_documents

_DOCUMENTS = 8_000
_ENGLISH_CHARACTERS = 3_000_000


class Texts(NamedTuple):
    training: list[str]
    heldout: list[str]
    words: list[str]
    """Common ones, for an owner's own responses."""


@cache
def english() -> Texts:
    """A sample of what the starter was trained on."""
    documents = training_documents()
    random.Random(0).shuffle(documents)
    lengths = itertools.accumulate(map(len, documents))
    kept = [document for document, length in zip(documents, lengths, strict=True) if length < _ENGLISH_CHARACTERS]
    heldout = heldout_paragraphs()[:200]
    words = sorted({word for text in heldout for word in text.split() if re.fullmatch("[a-z]{4,10}", word)})
    return Texts(kept, heldout, words)


@cache
def chinese() -> Texts:
    return _written(_chinese_sentence, _NOUNS_ZH, "")


@cache
def russian() -> Texts:
    return _written(_russian_sentence, [*_MASCULINE, *_FEMININE], " ")


TEXTS: dict[str, Callable[[], Texts]] = {"english": english, "chinese": chinese, "russian": russian}


def _written(sentence: Callable[[random.Random, list[str]], str], nouns: list[str], space: str) -> Texts:
    chance = random.Random(0)
    documents = list(_documents(chance, sentence, nouns, space))
    heldout = documents[::20][:200]
    return Texts([text for number, text in enumerate(documents) if number % 20], heldout, nouns)


def _documents(
    chance: random.Random, sentence: Callable[[random.Random, list[str]], str], nouns: list[str], space: str
) -> Iterator[str]:
    for _ in range(_DOCUMENTS):
        topic = [_common(chance, nouns) for _ in range(6)]
        yield space.join(sentence(chance, topic) for _ in range(chance.randint(4, 8)))


def _common(chance: random.Random, words: list[str]) -> str:
    """A word, the earlier ones more often: frequency falls with rank, as in any language."""
    return words[min(int(len(words) ** chance.random()) - 1 + chance.randrange(3), len(words) - 1)]


# --- Chinese ------------------------------------------------------------------------------------------------------------

_NOUNS_ZH = (
    "老师 学生 城市 河流 朋友 孩子 母亲 父亲 医生 工人 农民 商店 学校 公园 火车 汽车 飞机 电脑 手机 书本 报纸 电影 音乐 历史 "
    "科学 数学 语言 文化 经济 社会 国家 世界 人民 政府 公司 市场 产品 价格 技术 问题 办法 经验 时间 机会 生活 工作 天气 春天 "
    "夏天 秋天 冬天 太阳 月亮 星星 大海 高山 森林 草原 沙漠 花园 房子 窗户 桌子 椅子 茶杯 米饭 面条 水果 苹果 香蕉 蔬菜 牛奶 "
    "咖啡 衣服 鞋子 帽子 雨伞 钱包 钥匙 照片 地图 信件 礼物 节日 故事 诗歌 画家 作家 歌手 演员 警察 军队 将军 皇帝 公主 村庄 "
    "桥梁 道路 港口 船只 渔民 猎人 老虎 狮子 大象 猴子 小狗 小猫 鸟儿 鱼群 蝴蝶 蜜蜂 石头 黄金 白银 煤炭 石油 电力 机器 工厂 "
    "实验 理论 研究 报告 会议 计划 目标 结果 原因 影响 关系 法律 权利 责任 自由 和平 战争 胜利 失败 健康 疾病 药物 医院 病人"
).split()
_ADJECTIVES_ZH = (
    "美丽 古老 年轻 聪明 勇敢 善良 安静 热闹 寒冷 温暖 巨大 细小 重要 普通 特别 简单 复杂 快乐 悲伤 新鲜 干净 明亮 黑暗 遥远 "
    "著名 陌生 熟悉 富有 贫穷 强大 柔软 坚硬 神秘 宝贵 危险 安全 有趣 无聊 清楚 模糊"
).split()
_VERBS_ZH = (
    "看见 喜欢 帮助 研究 发现 介绍 保护 改变 建造 参观 欣赏 寻找 离开 记得 忘记 讨论 解释 描写 支持 反对 选择 准备 接受 拒绝 "
    "学习 使用 购买 出售 修理 打开 关闭 照顾 等待 拜访 感谢 批评 理解 影响 需要 拥有"
).split()
_PLACES_ZH = (
    "在城里 在山上 在河边 在学校 在家里 在路上 在北京 在上海 在广州 在乡下 在船上 在图书馆 在市场上 在医院里 在花园里".split()
)
_TIMES_ZH = "昨天 今天 明天 早上 晚上 去年 今年 从前 后来 现在 最近 有时候 那时候 周末 中午 春节".split()
_LINKS_ZH = "因为 虽然 如果 当 自从 尽管 只要 无论".split()


def _chinese_sentence(chance: random.Random, topic: list[str]) -> str:
    def noun() -> str:
        bare = chance.choice(topic) if chance.random() < 0.7 else _common(chance, _NOUNS_ZH)
        return f"{_common(chance, _ADJECTIVES_ZH)}的{bare}" if chance.random() < 0.4 else bare

    def clause() -> str:
        when = chance.choice(_TIMES_ZH) if chance.random() < 0.4 else ""
        where = chance.choice(_PLACES_ZH) if chance.random() < 0.3 else ""
        after = chance.choice(["了", "过", "着", "", ""])
        return f"{when}{noun()}{where}{_common(chance, _VERBS_ZH)}{after}{noun()}"

    shape = chance.randrange(6)
    if shape == 0:
        return f"{noun()}是{noun()}。"
    if shape == 1:
        return f"{chance.choice(_LINKS_ZH)}{clause()}，{clause()}。"
    if shape == 2:
        return f"{noun()}和{noun()}都很{_common(chance, _ADJECTIVES_ZH)}。"
    if shape == 3:
        return f"{chance.randint(2, 99)}个{noun()}{chance.choice(_PLACES_ZH)}{_common(chance, _VERBS_ZH)}{noun()}。"
    return f"{clause()}。" if shape == 4 else f"{clause()}，{_common(chance, _VERBS_ZH)}{noun()}。"


# --- Russian ------------------------------------------------------------------------------------------------------------

_MASCULINE = (
    "город дом стол мост лес завод вопрос ответ закон театр поезд самолёт хлеб сад океан остров роман рассказ урок праздник "
    "магазин рынок музей парк вокзал порт корабль снег дождь ветер туман рассвет закат камень металл прибор мотор проект план "
    "отчёт договор суд народ голос язык пример смысл опыт успех отдых воздух берег холм колодец забор двор подвал костёр шум"
).split()
_FEMININE = (
    "река гора страна школа работа книга газета карта машина дорога улица комната картина музыка наука победа война правда "
    "задача причина надежда погода зима весна вода земля трава роза птица рыба корова лошадка кошка собака игра песня сказка "
    "лодка площадка крыша стена лампа бумага ручка буква фраза глава сила слава цена сумма почта аптека больница граница"
).split()
_ADJECTIVES_RU = (
    "нов стар красн бел чёрн зелён крупн важн умн добр сильн слаб светл тёмн тёпл холодн быстр длинн дивн толст тесн трудн "
    "прост весёл грустн богат бедн известн странн цельн голодн свободн полезн опасн приятн серьёзн чист"
).split()
_VERBS_RU = (
    "видит знает любит строит рисует изучает помнит ищет находит меняет защищает читает слышит покупает продаёт открывает "
    "закрывает описывает понимает ценит готовит чинит создаёт теряет носит держит хвалит ждёт встречает освещает"
).split()
_ADVERBS_RU = "сегодня вчера всегда часто редко быстро медленно тихо громко снова утром вечером летом зимой вдруг сразу".split()
_LINKS_RU = "потому что|хотя|когда|если|пока|так как|однако".split("|")


def _russian_sentence(chance: random.Random, topic: list[str]) -> str:
    def noun(case: str) -> str:
        bare = chance.choice(topic) if chance.random() < 0.7 else _common(chance, [*_MASCULINE, *_FEMININE])
        feminine = bare in _FEMININE
        endings = {"nominative": ("ый", "ая"), "accusative": ("ый", "ую")}[case]
        if feminine and case == "accusative":
            form = bare[:-1] + ("ю" if bare.endswith("я") else "у")
        else:
            form = bare
        if chance.random() < 0.4:
            return f"{_common(chance, _ADJECTIVES_RU)}{endings[feminine]} {form}"
        return form

    def clause() -> str:
        when = f"{chance.choice(_ADVERBS_RU)} " if chance.random() < 0.4 else ""
        return f"{when}{noun('nominative')} {_common(chance, _VERBS_RU)} {noun('accusative')}"

    shape = chance.randrange(4)
    if shape == 0:
        text = f"{noun('nominative')} и {noun('nominative')}: {clause()}"
    elif shape == 1:
        text = f"{clause()}, {chance.choice(_LINKS_RU)} {clause()}"
    elif shape == 2:
        text = f"{noun('nominative')} — это {noun('nominative')}"
    else:
        text = clause()
    return f"{text[0].upper()}{text[1:]}."
