"""Words for captions: what each folder holds."""

# Folder → what a drawing in it is. The longest matching folder counts.
KINDS = {
    "animals": "animal",
    "animals/birds": "bird",
    "animals/bugs": "insect",
    "animals/dinosaurs": "dinosaur",
    "animals/fantasy": "fantasy creature",
    "animals/fish": "fish",
    "animals/mammals/bears": "bear",
    "animals/mammals/big_cats": "big cat",
    "animals/mammals/dogs": "dog",
    "animals/mammals/horses": "horse",
    "animals/mammals/housecats": "cat",
    "buildings": "building",
    "buildings/furniture": "furniture",
    "buildings/homes": "house",
    "buttons": "button",
    "computer": "computer",
    "computer/buttons": "button",
    "computer/connectors": "connector",
    "computer/diagrams": "diagram",
    "computer/folders": "folder icon",
    "computer/games": "video game",
    "computer/hardware": "computer hardware",
    "computer/icons": "computer icon",
    "computer/network": "computer network",
    "containers": "container",
    "decorations": "decoration",
    "education": "school",
    "education/books": "book",
    "electronics": "electronics",
    "electronics/battery": "battery",
    "electronics/bulb": "light bulb",
    "food": "food",
    "food/beverages": "drink",
    "food/beverages/alcohol": "drink",
    "food/breads_and_carbs": "food",
    "food/dairy": "dairy food",
    "food/desserts": "dessert",
    "food/fruit": "fruit",
    "food/vegetables": "vegetable",
    "geography": "geography",
    "geography/astronomy": "astronomy",
    "office": "office",
    "office/telephone": "telephone",
    "people": "people",
    "people/bodypart": "body part",
    "people/clothing": "clothing",
    "people/clothing/hats": "hat",
    "people/smilies": "smiley",
    "people/stickmen": "stick figure",
    "plants": "plant",
    "plants/flowers": "flower",
    "plants/trees": "tree",
    "recreation": "leisure",
    "recreation/games": "game",
    "recreation/games/cards": "",
    "recreation/games/cards/bordered": "playing card",
    "recreation/games/cards/cardbacks": "",
    "recreation/games/cards/ornamental": "playing card",
    "recreation/games/cards/simple": "playing card",
    "recreation/games/cards/white": "playing card",
    "recreation/games/chess": "chess",
    "recreation/holiday": "holiday",
    "recreation/holiday/christmas": "christmas",
    "recreation/holiday/valentines": "valentine",
    "recreation/music": "music",
    "recreation/party": "party",
    "recreation/religion": "religion",
    "recreation/sports": "sports",
    "recreation/toys": "toy",
    "science": "science",
    "science/astronomy": "astronomy",
    "science/medicine": "medicine",
    "shapes": "shape",
    "shapes/arrows": "arrow",
    "shapes/callouts": "speech bubble",
    "shapes/flowchart": "flowchart symbol",
    "shapes/jigsaw": "jigsaw piece",
    "shapes/stars": "star",
    "signs_and_symbols": "sign",
    "signs_and_symbols/awards": "award",
    "signs_and_symbols/clocks": "clock",
    "signs_and_symbols/flags": "flag",
    "signs_and_symbols/flags/semaphore": "semaphore",
    "signs_and_symbols/hazard": "warning sign",
    "signs_and_symbols/led": "light",
    "signs_and_symbols/map_symbols": "map symbol",
    "signs_and_symbols/money": "money",
    "signs_and_symbols/weather": "weather symbol",
    "special": "design",
    "special/gradients": "colour gradient",
    "special/patterns": "pattern",
    "tools": "tool",
    "transportation": "transport",
    "transportation/aiga-symbols": "public sign",
    "transportation/boating": "boat",
    "transportation/roadsigns": "road sign",
    "transportation/vehicles": "vehicle",
    "unsorted": "",
}

# Folders whose names say only part: "{}" is the subject.
PATTERNS = {
    "shapes/arrows": ("{}", "arrow"),
    "shapes/callouts": ("{} speech bubble", "speech bubble"),
    "shapes/flowchart": ("{}", "flowchart symbol"),
    "shapes/jigsaw": ("{} puzzle piece", "jigsaw"),
    "signs_and_symbols/flags": ("the flag of {}", "flag"),
    "signs_and_symbols/flags/miscellany": ("the {} flag", "flag"),
    "signs_and_symbols/flags/semaphore": ("the semaphore signal for {}", "semaphore"),
    "signs_and_symbols/map_symbols": ("a sign for {}", "sign"),
    "special/gradients": ("{} colour gradient", "gradient"),
    "special/patterns": ("{} pattern", "pattern"),
    "transportation/aiga-symbols": ("a sign for {}", "sign"),
    "transportation/roadsigns": ("a road sign: {}", "sign"),
}

SUITS = {"s": "spades", "h": "hearts", "d": "diamonds", "c": "clubs"}
RANKS = {"a": "ace", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven"}
RANKS |= {"8": "eight", "9": "nine", "10": "ten", "j": "jack", "q": "queen", "k": "king"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MASS_NOUNS = _words("""
bacon beef beer bread butter cheese chicken clothing clockwork coffee corn equipment fire fitness food furniture garlic grass
hair honey ice jazz juice lettuce lightning luggage meat medicine milk money music paper pasta rain rice sailing salad salt
scotch snow soap software space sugar tea text toast traffic water weather wheat wine wool work yoga
""")

# First words of names, which take no article.
PROPER = _words("argentina asturias canarias europe father jupiter linux mars mount otto pluto saturn sweden tux venus ayers")
PLURALS = _words("children feet people men women teeth mice geese police sheep thongs")

# Countries whose parts have flags of their own: "usa hawaii" is read as "hawaii, usa".
STATES = _words("usa canada germany france spain belgium finland denmark china australia italy brazil netherlands portugal") | {
    "united kingdom",
    "united states",
    "new zealand",
}
