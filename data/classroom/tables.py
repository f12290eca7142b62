"""The closed look-up tables behind the classroom's questions."""


def _pairs(text: str) -> dict[str, str]:
    """`left:right` items as a dictionary; an underscore stands for a space."""
    return {left: right.replace("_", " ") for left, right in (item.split(":") for item in text.split())}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CAPITALS = _pairs("""
France:Paris Germany:Berlin Italy:Rome Spain:Madrid Portugal:Lisbon Austria:Vienna Poland:Warsaw Greece:Athens
Norway:Oslo Sweden:Stockholm Finland:Helsinki Denmark:Copenhagen Ireland:Dublin England:London Scotland:Edinburgh
Hungary:Budapest Romania:Bucharest Bulgaria:Sofia Serbia:Belgrade Croatia:Zagreb Russia:Moscow Ukraine:Kyiv
Turkey:Ankara Egypt:Cairo Kenya:Nairobi Ghana:Accra Nigeria:Abuja Morocco:Rabat Tunisia:Tunis Senegal:Dakar
Ethiopia:Addis_Ababa Zimbabwe:Harare Japan:Tokyo China:Beijing India:Delhi Nepal:Kathmandu Thailand:Bangkok
Vietnam:Hanoi Iran:Tehran Iraq:Baghdad Syria:Damascus Jordan:Amman Lebanon:Beirut Qatar:Doha Canada:Ottawa Cuba:Havana
Peru:Lima Chile:Santiago Ecuador:Quito Colombia:Bogota Venezuela:Caracas Uruguay:Montevideo Belgium:Brussels
Iceland:Reykjavik Latvia:Riga Estonia:Tallinn Lithuania:Vilnius Albania:Tirana Cyprus:Nicosia Malta:Valletta
Australia:Canberra Pakistan:Islamabad Indonesia:Jakarta
""")

_OPPOSITES = _pairs("""
hot:cold big:small tall:short fast:slow happy:sad light:dark young:old early:late open:closed full:empty rich:poor
hard:soft wet:dry high:low near:far loud:quiet clean:dirty strong:weak thick:thin wide:narrow deep:shallow sweet:sour
true:false right:wrong first:last up:down in:out black:white love:hate win:lose buy:sell push:pull give:take
start:finish arrive:leave laugh:cry remember:forget brave:afraid safe:dangerous cheap:expensive easy:difficult
smooth:rough alive:dead asleep:awake sharp:blunt inside:outside above:below before:after always:never many:few
more:less north:south east:west summer:winter question:answer friend:enemy success:failure peace:war
""")
OPPOSITES = _OPPOSITES | {right: left for left, right in _OPPOSITES.items()}

PLURALS = _pairs("""
cat:cats dog:dogs box:boxes bus:buses baby:babies city:cities lady:ladies story:stories child:children man:men
woman:women mouse:mice foot:feet tooth:teeth goose:geese leaf:leaves knife:knives wolf:wolves life:lives wife:wives
half:halves shelf:shelves loaf:loaves hero:heroes potato:potatoes tomato:tomatoes church:churches dish:dishes
watch:watches glass:glasses fox:foxes key:keys boy:boys toy:toys day:days fly:flies party:parties country:countries
berry:berries cherry:cherries ox:oxen sheep:sheep deer:deer book:books tree:trees house:houses bird:birds star:stars
road:roads apple:apples chair:chairs table:tables horse:horses bridge:bridges cloud:clouds river:rivers garden:gardens
window:windows kitchen:kitchens pencil:pencils flower:flowers animal:animals farmer:farmers teacher:teachers
family:families library:libraries puppy:puppies monkey:monkeys donkey:donkeys valley:valleys piano:pianos photo:photos
roof:roofs chief:chiefs thief:thieves calf:calves bench:benches brush:brushes class:classes dress:dresses kiss:kisses
peach:peaches witch:witches bottle:bottles orange:oranges village:villages island:islands ocean:oceans lemon:lemons
spider:spiders
""")

WORDS = _words("""
apple bread chair table house water green river stone cloud light night summer winter garden flower forest animal horse
tiger rabbit monkey window kitchen bottle pencil paper letter school teacher doctor farmer engine market street village
bridge island ocean mountain valley planet rocket number circle square family mother father sister person country music
dance paint story dream clever silver golden orange cotton butter cheese pepper sugar honey lemon banana cherry carrot
potato tomato onion dinner basket hammer ladder mirror pillow blanket jacket pocket ticket
""")

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = _words("January February March April May June July August September October November December")
DETERMINERS = ("the", "a", "my", "our", "this", "that", "some", "every")
VERBS = ("is", "was", "has", "likes", "needs", "finds", "makes", "sees")
THINGS = ("cat", "dog", "sun", "tree", "bird", "fish", "star", "moon")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


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
    known = {*WORDS, *DETERMINERS, *VERBS}
    return {typo: next(iter(words)) for typo, words in sources.items() if len(words) == 1 and typo not in known}


MEANT = _meant()
