"""The closed tables behind the classroom's questions."""


def _pairs(text: str) -> dict[str, str]:
    return dict(item.split(":") for item in text.split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words("""
Anna Ben Carla David Emma Felix Greta Hugo Ida Jonas Karin Leo Maria Nils Olga Paul Rosa Simon Tina Viktor
""")

CAPITALS = _pairs("""
France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna Poland:Warsaw Greece:Athens
Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Ireland:Dublin England:London Scotland:Edinburgh
Hungary:Budapest Romania:Bucharest Bulgaria:Sofia Serbia:Belgrade Croatia:Zagreb Russia:Moscow Ukraine:Kyiv
Turkey:Ankara Egypt:Cairo Kenya:Nairobi Ghana:Accra Nigeria:Abuja Morocco:Rabat Tunisia:Tunis Senegal:Dakar
Zimbabwe:Harare Japan:Tokyo China:Beijing India:Delhi Nepal:Kathmandu Thailand:Bangkok Vietnam:Hanoi Iran:Tehran
Iraq:Baghdad Syria:Damascus Jordan:Amman Lebanon:Beirut Qatar:Doha Canada:Ottawa Cuba:Havana Peru:Lima
Chile:Santiago Ecuador:Quito Colombia:Bogota Venezuela:Caracas Uruguay:Montevideo Belgium:Brussels Iceland:Reykjavik
Latvia:Riga Estonia:Tallinn Lithuania:Vilnius Albania:Tirana Cyprus:Nicosia Malta:Valletta Australia:Canberra
Pakistan:Islamabad Indonesia:Jakarta
""")
COUNTRIES = {city: country for country, city in CAPITALS.items()}

_OPPOSITES = _pairs("""
hot:cold big:small tall:short fast:slow happy:sad light:dark young:old early:late open:closed full:empty rich:poor
hard:soft wet:dry high:low near:far loud:quiet clean:dirty strong:weak thick:thin wide:narrow deep:shallow sweet:sour
true:false right:wrong first:last up:down in:out black:white love:hate win:lose buy:sell push:pull give:take
start:finish arrive:leave laugh:cry remember:forget brave:afraid safe:dangerous cheap:expensive easy:difficult
smooth:rough alive:dead asleep:awake sharp:blunt inside:outside above:below before:after always:never many:few
more:less north:south east:west summer:winter question:answer friend:enemy success:failure peace:war
""")
OPPOSITES = _OPPOSITES | {right: left for left, right in _OPPOSITES.items()}

WORDS = _words("""
apple bread chair table house water green river stone cloud light night summer winter garden flower forest animal horse
tiger rabbit monkey window kitchen bottle pencil paper letter school teacher doctor farmer engine market street village
bridge island ocean mountain valley planet rocket number circle square family mother father sister person country music
dance paint story dream clever silver golden orange cotton butter cheese pepper sugar honey lemon banana cherry carrot
potato tomato onion dinner basket hammer ladder mirror pillow blanket jacket pocket ticket
""")

_GROUPS = _pairs("""
animal:tiger,rabbit,monkey,horse,camel,spider,donkey,eagle,whale,goat
food:bread,butter,cheese,honey,soup,rice,pasta,salad,cake,pie
colour:green,orange,purple,yellow,brown,pink,grey,violet,crimson,scarlet
job:teacher,doctor,farmer,baker,pilot,nurse,lawyer,sailor,painter,miner
tool:hammer,ladder,saw,drill,shovel,axe,rake,wrench,chisel,pliers
dress:jacket,shirt,glove,scarf,sock,skirt,coat,belt,boot,sweater
room:kitchen,bedroom,cellar,attic,office,hall,pantry,garage,nursery,lobby
""")
GROUP_MEMBERS = {group: tuple(members.split(",")) for group, members in _GROUPS.items()}
GROUPS = {member: group for group, members in GROUP_MEMBERS.items() for member in members}

THINGS = ("cat", "dog", "sun", "tree", "bird", "fish", "star", "moon")


def typos(word: str) -> set[str]:
    """Every way to swap, drop or double one letter inside the word."""
    inner = range(1, len(word) - 2)
    swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in inner}
    dropped = {word[:i] + word[i + 1 :] for i in inner}
    doubled = {word[: i + 1] + word[i:] for i in inner}
    return (swapped | dropped | doubled) - {word}


def _meant() -> dict[str, str]:
    """The word that each typo can only come from; a typo of two words, or one that is itself a word, is left out."""
    sources: dict[str, set[str]] = {}
    for word in WORDS:
        for typo in typos(word):
            sources.setdefault(typo, set()).add(word)
    return {typo: next(iter(words)) for typo, words in sources.items() if len(words) == 1 and typo not in WORDS}


MEANT = _meant()
TYPOS = tuple(sorted(MEANT))
