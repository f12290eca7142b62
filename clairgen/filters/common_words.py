"""The commonest short words of languages in one script, by which they are told apart; no names and no loan words."""

from collections.abc import Mapping

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
"""Words by script and language; `da/nb` is Danish or Norwegian, which these do not part."""
