from itertools import pairwise

import pytest

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.language import changes_language, language_of
from tests.filters.pairs import answer, pair

TEXTS = {
    "en": "The sea is calm in the morning, and the boats that left at night come back to the harbour with all the "
    "fish they could find. You can buy it from the men on the quay before the market is open.",
    "de": "Am Morgen ist das Meer ruhig, und die Boote, die in der Nacht ausgelaufen sind, kommen mit dem Fang in "
    "den Hafen zurück. Man kann den Fisch auf dem Kai kaufen, bevor der Markt öffnet.",
    "fr": "Le matin, la mer est calme et les bateaux qui sont partis dans la nuit reviennent au port avec tous les "
    "poissons. On peut les acheter sur le quai avant que le marché ne soit ouvert pour les clients.",
    "es": "Por la mañana el mar está en calma y los barcos que salieron de noche vuelven al puerto con todo el "
    "pescado que pudieron encontrar. Se puede comprar en el muelle antes de que abra el mercado.",
    "pt": "De manhã o mar está calmo e os barcos que saíram à noite voltam ao porto com todo o peixe que "
    "encontraram. Você pode comprar no cais antes que o mercado abra para os clientes da cidade.",
    "it": "La mattina il mare è calmo e le barche che sono uscite di notte tornano al porto con tutto il pesce che "
    "hanno trovato. Si può comprare sul molo prima che il mercato apra per la gente della città.",
    "nl": "In de ochtend is de zee kalm en komen de boten die in de nacht zijn vertrokken terug naar de haven met "
    "alle vis die ze konden vinden. Je kunt het op de kade kopen voor de markt open is.",
    "pl": "Rano morze jest spokojne, a łodzie, które wypłynęły w nocy, wracają do portu z rybami. Można je kupić "
    "na nabrzeżu, zanim otworzy się targ, i to jest tak dobre, że nie ma po co czekać do południa.",
    "ru": "Утром море спокойно, и лодки, которые вышли ночью, возвращаются в порт с рыбой. Её можно купить на "
    "набережной, и это не так дорого, как на рынке, который открывается для всех только в полдень.",
    "uk": "Вранці море спокійне, і човни, які вийшли вночі, повертаються до порту з рибою. Її можна купити на "
    "набережній, та це не так дорого, як на ринку, що відкривається для всіх лише опівдні.",
    "zh": "早晨的大海很平静，夜里出海的渔船带着捕到的鱼回到港口。在市场开门之前，人们可以在码头上直接向渔民购买，价"
    "格也比较便宜，而且非常新鲜。",
    "ja": "朝の海は静かで、夜に出た漁船が魚を積んで港に戻ってきます。市場が開く前に、桟橋で漁師から直接買うことがで"
    "きますし、値段もそれほど高くありません。",
    "ko": "아침 바다는 고요하고 밤에 떠난 배들은 물고기를 싣고 항구로 돌아옵니다. 시장이 열리기 전에 부두에서 "
    "어부들에게 직접 살 수 있습니다. 값도 비싸지 않습니다.",
    "ar": "في الصباح يكون البحر هادئا وتعود القوارب التي خرجت في الليل إلى الميناء مع الأسماك. يمكن شراء السمك من "
    "على الرصيف قبل أن يفتح السوق.",
    "el": "Το πρωί η θάλασσα είναι ήρεμη και οι βάρκες που έφυγαν τη νύχτα γυρίζουν στο λιμάνι με ψάρια για την "
    "αγορά της πόλης.",
}  # fmt: skip


def change(rejected: str, chosen: str) -> str | None:
    found = changes_language(Candidate(pair(answer(chosen), answer(rejected))))
    assert found is None or found == Fault("language-changed", found.value)
    return str(found.value) if found else None


@pytest.mark.parametrize("code", TEXTS)
def test_a_text_s_language_is_known(code: str) -> None:
    assert language_of(TEXTS[code]) == code


@pytest.mark.parametrize(("before", "after"), list(pairwise([*TEXTS, *TEXTS][: len(TEXTS) + 1])))
def test_another_language_is_a_change(before: str, after: str) -> None:
    assert change(TEXTS[before], TEXTS[after]) == f"{before}->{after}"
    assert change(TEXTS[after], TEXTS[before]) == f"{after}->{before}"
    assert change(TEXTS[before], TEXTS[before]) is None


@pytest.mark.parametrize(
    "text",
    [
        "Oslo.",
        "Das ist gut.",
        "Guten Morgen heißt good morning.",
        "```python\n" + "for number in numbers:\n    print(number)\n" * 20 + "```",
        "12, 15, 18, 21; x = 3 y",
        TEXTS["en"] + " " + TEXTS["ru"],
        TEXTS["en"][:100] + TEXTS["zh"] * 2,
        "https://example.org/" + "a" * 500,
        "",
    ],
)
def test_short_texts_code_and_mixtures_are_of_no_language(text: str) -> None:
    assert language_of(text) is None
    assert change(TEXTS["de"], text) is None


def test_a_list_of_names_is_in_some_language_of_its_script() -> None:
    names = "Anna Bergström, Mehmet Yılmaz, Giovanni Rossi, Pierre Dubois, Jan Kowalski, " * 4
    assert language_of(names) == "latin"
    assert change(TEXTS["en"], names) is None
    assert change(TEXTS["zh"], names) == "zh->latin"


def test_a_quotation_in_another_language_changes_nothing() -> None:
    assert change(TEXTS["en"], TEXTS["en"] + " In German: " + TEXTS["de"][:80]) is None
