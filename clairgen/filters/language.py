"""The filter `language`: pairs whose two answers are written in different languages.

The script identifies most languages; those that share the Latin, Cyrillic or Arabic script are identified by their most common
short words. That is less than a trained model knows: only the languages below are recognized, and in doubt the filter finds
nothing. But it needs no package and gives the same result everywhere. (py3langid needs numpy, lingua 96 MB, langdetect is
random and has not been maintained since 2021.)
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.filters.text import prose
from clairgen.patterns import lazy_pattern

_WORDS: Mapping[str, Mapping[str, str]] = {
    "latin": {
        "en": "the of and to a in is that it for as with on are this be by or from an your you not can have at "
        "which was their will",
        "de": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden "
        "aus er hat dass sie nach wird bei einer ich wie oder ihre kann sind",
        "fr": "de la le et les des en un du une est que pour qui dans par sur plus au pas ce avec il sont se "
        "ou vous votre cette aux nous être ne",
        "es": "de la que el en y los se del las un por con una para su es al lo como más este esta son puede o "
        "pero sus también no muy ser",
        "it": "di e il la che in un per è una del con non sono si della le dei da i al come più gli alla nel "
        "questo anche lo ma o delle essere può",
        "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas ao ou são das "
        "pode também sua pela você isso ser",
        "nl": "de het een van en in is dat op te zijn met voor niet aan er om ook als bij door maar naar of "
        "uit dit je deze kan worden hebben wordt",
        "sv": "och i att en som är på av för med det den till ett inte om de har du kan från eller vi så var "
        "men din kommer",
        "da/nb": "og i at en som er på af av for med det den til et ikke om de har du kan fra eller vi så var men "
        "sig seg din blir",
        "fi": "ja on ei se että hän oli mutta kun tai ovat myös voi kuin niin ole sen jos joka mitä tämä voit "
        "olla ne kanssa sekä",
        "pl": "i w na z się nie do to że jest o jak co po za od dla przez są może lub oraz który jego być tym ich tego",
        "cs": "a v na se je že s z to do o i ve pro jako po které by který jsou nebo za jeho při však také být může",
        "ro": "și de în la a cu pe o un nu din este care pentru că sunt mai prin să fi sau ce se ale ca dar acest",
        "hu": "a az és hogy nem is egy ez van meg csak de már el még vagy mint ha azt kell lehet ki volt amely",
        "tr": "ve bir bu için ile da de olarak daha çok gibi olan ne var kadar ya her sonra en ama veya değil göre",
        "id": "yang dan di untuk dengan ini dari pada adalah dalam itu tidak akan ke anda atau dapat juga oleh "
        "sebagai bisa karena",
        "vi": "và của là có trong được các cho với một không những người để này bạn từ khi đã về như cũng nhiều",
    },
    "cyrillic": {
        "ru": "и в не на что с по как это для из к от его он но а или может быть вы также она если чтобы "
        "которые является при",
        "uk": "і в не на що з до та як це для від його він але або може бути ви також вона якщо щоб які є при у й",
        "bg": "и на да в за се от е са по не с че като това ще при или но които може до към има тя той",
    },
    "arabic": {
        "ar": "في من على إلى أن عن هذا هذه التي الذي مع كان لا ما أو هو هي كما ذلك قد",
        "fa": "و در به از که این را با است برای آن یک می های شما تا بر خود هم یا",
        "ur": "کے کی میں ہے کا اور سے کو نے پر یہ ہیں کہ اس ایک بھی کر آپ لیے نہیں",
    },
}

COMMON_WORDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    script: {code: frozenset(words.split()) for code, words in known.items()} for script, known in _WORDS.items()
}
"""Words by script and language; `da/nb` is Danish or Norwegian, which these words do not distinguish."""

_LONG_ENOUGH = {"latin": 120, "cyrillic": 100, "arabic": 60}
_LONG_ENOUGH_ELSEWHERE = 40
"""Letters that a text needs before its language is judged; a character says more in Chinese than in English."""
_MOST = 0.75
"""The least share of a text's letters that are in its script."""
_COMMON = 0.12
"""The least share of a text's words that are common words of its language."""
_MARGIN = 1.4
"""The least ratio of that share to the share of the second most likely language."""

_RANGES = (
    (0x41, "latin"), (0x250, ""), (0x370, "el"), (0x400, "cyrillic"), (0x530, "hy"), (0x590, "he"), (0x600, "arabic"),
    (0x780, ""), (0x900, "devanagari"), (0x980, "bn"), (0xA00, "pa"), (0xA80, "gu"), (0xB00, ""), (0xB80, "ta"), (0xC00, "te"),
    (0xC80, "kn"), (0xD00, "ml"), (0xD80, "si"), (0xE00, "th"), (0xE80, "lo"), (0xF00, ""), (0x1000, "my"), (0x10A0, "ka"),
    (0x1100, "ko"), (0x1200, "am"), (0x1380, ""), (0x1780, "km"), (0x1800, ""), (0x1E00, "latin"), (0x1F00, "el"), (0x2000, ""),
    (0x3040, "kana"), (0x3100, ""), (0x3400, "han"), (0xA000, ""), (0xAC00, "ko"), (0xD7B0, ""), (0xF900, "han"), (0xFB00, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _RANGES]

_LANGUAGES_OF = {
    script: {
        word: " ".join(code for code, common in languages.items() if word in common)
        for word in frozenset[str]().union(*languages.values())
    }
    for script, languages in COMMON_WORDS.items()
}
"""By script, the codes of all languages that have a word, in one string."""
_LETTERS = lazy_pattern(r"[^\W\d_]+")
_NOT_ASCII = lazy_pattern(r"[^\x00-\x7f]+")
_LOWER_LETTERS = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalpha() else ord(" ") for code in range(256)
)
"""For `bytes.translate`: ASCII letters in lower case, and a space for everything else."""
_LINK = lazy_pattern(r"https?://\S+|www\.\S+")


def changes_language(candidate: Candidate) -> Fault | None:
    """The value is the language of the rejected and of the chosen answer, such as `en->de`, or their scripts."""
    pair = candidate.pair
    if (before := language_of(pair.rejected.text)) is None or (after := language_of(pair.chosen.text)) is None:
        return None
    return Fault("language-changed", f"{before}->{after}") if _differ(before, after) else None


def language_of(text: str) -> str | None:
    """The code of a text's language, or the name of its script if the language is not clear.

    None for short texts, code, and texts in several scripts.
    """
    text = prose(text)
    if "://" in text or "www." in text:
        text = _LINK.sub(" ", text)
    words, letters = _words_and_letters(text)
    script, count = max(letters.items(), key=lambda item: item[1])
    if not script or count < _LONG_ENOUGH.get(script, _LONG_ENOUGH_ELSEWHERE) or count < _MOST * sum(letters.values()):
        return None
    if script == "han":
        return "zh"
    return _commonest(script, words) if script in COMMON_WORDS else script


def _words_and_letters(text: str) -> tuple[list[str], Mapping[str, int]]:
    """The lower-cased words of a text, and how many of its letters are in which script.

    Most texts have no letters but those of ASCII, for which there is a fast way. Kana, and Chinese characters among enough of
    them, are Japanese.
    """
    if text.isascii() or not _LETTERS.search("".join(_NOT_ASCII.findall(text))):
        spaced = text.encode("ascii", "replace").translate(_LOWER_LETTERS)
        return spaced.decode().split(), {"latin": len(spaced) - spaced.count(b" ")}
    runs = _LETTERS.findall(text)
    letters = "".join(runs)
    others = "".join(_NOT_ASCII.findall(letters))
    counts = Counter(latin=len(letters) - len(others))
    for letter, count in Counter(others).items():
        counts[_script(letter)] += count
    if counts["kana"] * 10 > counts["han"]:
        counts["ja"] = counts.pop("kana") + counts.pop("han", 0)
    return " ".join(runs).lower().split(), counts


def _commonest(script: str, tokens: list[str]) -> str:
    """The language whose common words are frequent in a text, else the script."""
    counts = dict.fromkeys(COMMON_WORDS[script], 0)
    for codes, count in Counter(filter(None, map(_LANGUAGES_OF[script].get, tokens))).items():
        for code in codes.split(" "):
            counts[code] += count
    first, second = sorted(counts, key=counts.__getitem__, reverse=True)[:2]
    share, second_share = counts[first] / len(tokens), counts[second] / len(tokens)
    return first if share >= _COMMON and share >= _MARGIN * second_share else script


def _differ(before: str, after: str) -> bool:
    """Whether two languages certainly differ: a text of which only the script is known may be in any language of that script."""
    return before != after and before not in COMMON_WORDS.get(after, {}) and after not in COMMON_WORDS.get(before, {})


def _script(letter: str) -> str:
    index = bisect_right(_STARTS, ord(letter)) - 1
    return _RANGES[index][1] if index >= 0 else ""


LANGUAGE = Filter(
    name="language",
    options=Marking,
    summary="Pairs whose answers are in different languages; short texts and code are passed.",
    prepare=always(changes_language),
)
