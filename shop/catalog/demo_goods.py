"""The goods of the demo shop, as data. All brands and products are invented. Prices in rupees."""

from dataclasses import dataclass, field
from typing import Any

CATEGORIES: tuple[tuple[str, str, str | None], ...] = (
    ("blades", "Blades", None),
    ("all-wood-blades", "All-wood blades", "blades"),
    ("carbon-blades", "Carbon blades", "blades"),
    ("penhold-blades", "Penhold blades", "blades"),
    ("rubbers", "Rubbers", None),
    ("inverted-rubbers", "Inverted rubbers", "rubbers"),
    ("pimpled-rubbers", "Pimpled rubbers", "rubbers"),
    ("ready-bats", "Ready bats", None),
    ("balls", "Balls", None),
    ("match-balls", "Match balls", "balls"),
    ("training-balls", "Training balls", "balls"),
    ("tables-and-nets", "Tables and nets", None),
    ("tables", "Tables", "tables-and-nets"),
    ("nets", "Nets", "tables-and-nets"),
    ("robots", "Robots", None),
    ("shoes", "Shoes", None),
    ("bags-and-cases", "Bags and cases", None),
)
"""(slug, name, slug of the shelf it stands on), parents first."""

BRANDS = ("Lindqvarn", "Kazemori", "Dravik", "Sferis", "Aruvane")

SELLERS = (
    ("Halflong Warehouse", "warehouse@halflong.example", 10_000),
    ("Club Counter Pune", "counter@clubpune.example", 8_800),
    ("Nordic Blades AB", "orders@nordicblades.example", 8_500),
)
"""(name, mail, share of each sale in basis points)."""

BLADE = (140, 290, 170, 30)
RUBBER = (95, 260, 210, 12)
"""Sizes of parcels: grams, then millimetres."""

HANDLES = (
    ("FL", {"Handle": "Flared"}),
    ("ST", {"Handle": "Straight"}),
    ("AN", {"Handle": "Anatomic"}),
)
SHEETS = tuple(
    (
        f"{colour[0].upper()}{thickness[0]}{thickness[2]}",
        {"Colour": colour, "Thickness": f"{thickness} mm"},
    )
    for colour in ("Red", "Black")
    for thickness in ("1.8", "2.0", "2.2")
)
SHOE_SIZES = tuple((f"EU{size}", {"Size": f"EU {size}"}) for size in range(38, 46))
ONE: tuple[tuple[str, dict[str, str]], ...] = (("", {}),)


@dataclass(frozen=True)
class Goods:
    """One product: `stock` has a number for each variant, or one for all of them."""

    slug: str
    name: str
    brand: str
    category: str
    summary: str
    description: str
    pictures: tuple[tuple[str, str], ...]
    sku: str
    rupees: int
    stock: tuple[int, ...]
    size: tuple[int, int, int, int]
    variants: tuple[tuple[str, dict[str, str]], ...] = ONE
    was_rupees: int | None = None
    seller: int = 0
    play: tuple[int, int, int] | None = None
    spec: tuple[tuple[str, str], ...] = ()
    returns: str = "Return it unused within 30 days."
    more: dict[str, Any] = field(default_factory=dict)


UNGLUED = "Return it unglued within 30 days. Glued blades can be exchanged if faulty."
SEALED = "Return it in its sealed pack within 30 days."

# fmt: off
GOODS: tuple[Goods, ...] = (
    Goods("alvar-5w", "Alvar 5W", "Lindqvarn", "all-wood-blades", "Five plies, all wood",
          "A five-ply all-wood blade for players who loop from close to the table and want to feel the ball before it leaves.",
          (("blade-alvar", "Alvar 5W blade: light limba face, flared handle with a petrol stripe"), ("racket-duo", "Built with a red and a black rubber"), ("case-hardshell", "In its case")),
          "LQ-ALV5W", 5499, (7, 12, 0), BLADE, HANDLES, seller=2, play=(78, 84, 88),
          spec=(("Plies", "5, all wood"), ("Outer ply", "Limba, 0.6 mm"), ("Thickness", "5.8 mm"), ("Weight", "84 g, give or take 3 g"), ("Head", "150 × 157 mm")),
          returns=UNGLUED, more={"pairs": ["tidal-05", "nocturne", "hardshell-case", "match-40"]}),
    Goods("tidal-05", "Tidal 05", "Kazemori", "inverted-rubbers", "Tacky top sheet, medium sponge",
          "A tacky sheet on a lively sponge. It grabs on serve and push, and still gives pace when you swing through.",
          (("rubber-tidal-red", "Tidal 05: a red rubber sheet in its sleeve"), ("rubber-nocturne", "A black sheet in its sleeve")),
          "KZ-TID05", 3890, (9, 2, 14, 6, 11, 8), RUBBER, SHEETS, play=(86, 93, 74),
          spec=(("Sponge", "47.5°"), ("Surface", "Inverted, tacky"), ("Approved", "For matches")), returns=SEALED),
    Goods("arc-c-carbon", "Arc C carbon", "Kazemori", "carbon-blades", "Five plies and two of carbon",
          "Two layers of arylate carbon under a hinoki face. Fast away from the table, quiet in the short game.",
          (("blade-arc-c", "Arc C blade: hinoki face, black handle with a white A"),),
          "KZ-ARCC", 12990, (5, 4, 3), BLADE, HANDLES, play=(94, 82, 66),
          spec=(("Plies", "5 + 2 carbon"), ("Outer ply", "Hinoki, 0.8 mm"), ("Thickness", "5.7 mm"), ("Weight", "87 g, give or take 3 g")), returns=UNGLUED),
    Goods("match-40", "Match 40+", "Sferis", "match-balls", "Box of 3, seamless",
          "Three-star seamless plastic balls, sorted for roundness and bounce. The ball our league plays with.",
          (("balls-match", "Three white match balls"),), "SF-MATCH3", 449, (240,), (60, 140, 50, 50),
          spec=(("Diameter", "40+ mm"), ("Stars", "3"), ("In the box", "3 balls")), returns=SEALED),
    Goods("nocturne", "Nocturne", "Dravik", "inverted-rubbers", "Grippy, medium-hard sponge",
          "A dark blue sponge with a fine grain. Even pace through the whole stroke, and kind to a late block.",
          (("rubber-nocturne", "Nocturne: a black rubber sheet on a blue sponge"),),
          "DV-NOCT", 3290, (10, 7, 5, 12, 9, 4), RUBBER, SHEETS, 3890, play=(82, 88, 81),
          spec=(("Sponge", "45°"), ("Surface", "Inverted"), ("Approved", "For matches")), returns=SEALED),
    Goods("glide-2", "Glide 2", "Aruvane", "shoes", "Gum sole, EU 38 to 45",
          "Low and light, with a gum sole that grips a sprung floor and does not mark it.",
          (("shoes-glide", "Glide 2: a white shoe with a petrol heel and a gum sole"),),
          "AR-GLIDE2", 6799, (3, 6, 8, 11, 12, 9, 5, 2), (780, 330, 210, 120), SHOE_SIZES, seller=1,
          spec=(("Sole", "Gum rubber"), ("Upper", "Knit mesh"), ("Weight", "265 g each in EU 42"))),
    Goods("starter-pair", "Starter pair", "Dravik", "ready-bats", "Two bats and a ball",
          "Two ready bats with real rubber and a ball. Good enough to learn a topspin on.",
          (("racket-duo", "A red and a black bat with an orange ball"),), "DV-START2", 2799, (34,), (480, 280, 180, 70),
          play=(58, 62, 91), spec=(("Bats", "2"), ("Balls", "1"), ("Rubber", "1.5 mm sponge"))),
    Goods("feeder-one", "Feeder One", "Dravik", "robots", "6 spins, 120 balls",
          "Feeds up to 90 balls a minute with six spins, from a tripod that folds under one arm.",
          (("robot-feeder", "Feeder One: a white ball robot on a black stand"),), "DV-FEED1", 42500, (0,), (9800, 620, 420, 380),
          seller=1, spec=(("Balls a minute", "20 to 90"), ("Spins", "6"), ("Tank", "120 balls"), ("Power", "100 to 240 V"))),
    Goods("hall-25", "Hall 25", "Dravik", "tables", "25 mm, folds in one move",
          "A tournament top on a folding frame. One person sets it up in a minute.",
          (("table-hall", "Hall 25: a green table on wheels"),), "DV-HALL25", 84900, (4,), (118_000, 1620, 1540, 210),
          seller=1, spec=(("Top", "25 mm"), ("Wheels", "8, four with brakes"), ("Net", "Included"))),
    Goods("circuit-28", "Circuit 28 L", "Aruvane", "bags-and-cases", "Fits two bats and shoes",
          "A day bag with a padded bat sleeve, a shoe tunnel and a pocket that keeps balls round.",
          (("bag-circuit", "Circuit: an orange backpack"),), "AR-CIRC28", 3199, (26,), (820, 460, 320, 120),
          spec=(("Volume", "28 l"), ("Fabric", "Recycled polyester"))),
    Goods("shosa-penhold", "Shosa penhold", "Kazemori", "penhold-blades", "Single ply of hinoki",
          "One thick ply of hinoki with a carved cork grip, for the close game and a heavy forehand.",
          (("blade-shosa", "Shosa: a square Japanese penhold blade with a cork grip"),), "KZ-SHOSA", 6249, (2,), BLADE,
          play=(84, 86, 77), spec=(("Plies", "1, hinoki"), ("Thickness", "9 mm"), ("Grip", "Japanese penhold")), returns=UNGLUED),
    Goods("training-tub", "Training tub", "Sferis", "training-balls", "72 balls, two colours",
          "Seventy-two seamed balls in a tub that doubles as a feeder's bucket.",
          (("balls-bucket", "A petrol tub full of white and orange balls"),), "SF-TUB72", 2399, (48,), (620, 260, 260, 240),
          spec=(("Diameter", "40+ mm"), ("In the tub", "72 balls"))),
    Goods("hardshell-case", "Hardshell case", "Aruvane", "bags-and-cases", "Holds one bat, three balls",
          "A moulded shell with a zip all round and a sleeve for three balls.",
          (("case-hardshell", "A black bat case with a red and white window"),), "AR-SHELL", 1499, (57,), (310, 310, 200, 60),
          spec=(("Shell", "EVA, 4 mm"), ("Inside", "1 bat, 3 balls"))),
    Goods("clip-net", "Clip net", "Sferis", "nets", "Fits tops 18 to 30 mm",
          "Spring clips, a cord that stays tight and a height gauge in the bag.",
          (("net-clip", "A petrol net with orange-tipped posts"),), "SF-CLIP", 1899, (31,), (900, 480, 180, 70),
          spec=(("Tops", "18 to 30 mm"), ("Length", "183 cm"))),
    Goods("alvar-7w", "Alvar 7W", "Lindqvarn", "all-wood-blades", "Seven plies, all wood",
          "The Alvar with two more plies: the same feeling, with a firmer block and more pace through the middle.",
          (("blade-alvar", "Alvar 7W blade: light limba face"),), "LQ-ALV7W", 5999, (6, 5, 4), BLADE, HANDLES, seller=2,
          play=(84, 80, 82), spec=(("Plies", "7, all wood"), ("Thickness", "6.4 mm"), ("Weight", "89 g, give or take 3 g")), returns=UNGLUED),
    Goods("alvar-junior", "Alvar Junior", "Lindqvarn", "all-wood-blades", "Smaller head, thin handle",
          "A light blade with a handle for small hands. It forgives, and it grows with its player.",
          (("blade-alvar", "Alvar Junior blade"),), "LQ-ALVJR", 2999, (15, 11), BLADE, HANDLES[:2], seller=2,
          play=(56, 70, 95), spec=(("Plies", "5, all wood"), ("Weight", "74 g")), returns=UNGLUED),
    Goods("fjard-def", "Fjärd Def", "Lindqvarn", "all-wood-blades", "Slow, large head",
          "A wide, soft blade for choppers. It takes the pace out of anything and gives it back as spin.",
          (("blade-alvar", "Fjärd Def blade with a wide head"),), "LQ-FJARD", 5299, (4, 3, 2), BLADE, HANDLES, seller=2,
          play=(42, 79, 97), spec=(("Plies", "5, willow and balsa"), ("Head", "156 × 162 mm")), returns=UNGLUED),
    Goods("arc-z-carbon", "Arc Z carbon", "Kazemori", "carbon-blades", "The fastest one here",
          "Stiff fibre right under the face. For players who finish the point with the first loop.",
          (("blade-arc-c", "Arc Z blade"),), "KZ-ARCZ", 16990, (3, 2), BLADE, HANDLES[:2], play=(98, 80, 55),
          spec=(("Plies", "5 + 2 fibre"), ("Thickness", "5.5 mm")), returns=UNGLUED),
    Goods("vakt-carbon", "Vakt carbon", "Lindqvarn", "carbon-blades", "Carbon next to the core",
          "Carbon next to the core keeps the touch of wood on slow strokes and wakes up on fast ones.",
          (("blade-arc-c", "Vakt carbon blade"),), "LQ-VAKT", 10990, (6, 7, 1), BLADE, HANDLES, 12490, seller=2,
          play=(90, 85, 72), spec=(("Plies", "5 + 2 carbon, inner"), ("Weight", "86 g")), returns=UNGLUED),
    Goods("kumo-chinese", "Kumo penhold", "Kazemori", "penhold-blades", "For both sides",
          "A Chinese penhold blade of seven plies, balanced for two rubbers.",
          (("blade-shosa", "Kumo: a penhold blade"),), "KZ-KUMO", 4790, (9,), BLADE, play=(80, 84, 80),
          spec=(("Plies", "7, all wood"), ("Grip", "Chinese penhold")), returns=UNGLUED),
    Goods("tidal-09", "Tidal 09", "Kazemori", "inverted-rubbers", "Very tacky, hard sponge",
          "The heaviest spin we stock. It asks for a full swing and pays it back.",
          (("rubber-tidal-red", "Tidal 09: a red rubber sheet"),), "KZ-TID09", 4290, (8, 6, 5, 7, 9, 3), RUBBER, SHEETS,
          play=(83, 97, 66), spec=(("Sponge", "54°"), ("Surface", "Inverted, very tacky")), returns=SEALED),
    Goods("brisa", "Brisa", "Aruvane", "inverted-rubbers", "Soft and light",
          "A soft rubber for touch players and for the first bat that is built by hand.",
          (("rubber-tidal-red", "Brisa: a red rubber sheet"),), "AR-BRISA", 2190, (20, 18, 12, 16, 14, 9), RUBBER, SHEETS, seller=1,
          play=(68, 78, 92), spec=(("Sponge", "37.5°"), ("Surface", "Inverted")), returns=SEALED),
    Goods("grind-long", "Grind long", "Dravik", "pimpled-rubbers", "Long pimples, no sponge",
          "Turns spin around. Legal, and not always loved.",
          (("rubber-nocturne", "Grind: a black pimpled sheet"),), "DV-GRIND", 2890, (6, 8), RUBBER,
          (("R", {"Colour": "Red"}), ("B", {"Colour": "Black"})), play=(34, 61, 70),
          spec=(("Pimples", "1.7 mm"), ("Sponge", "None")), returns=SEALED),
    Goods("hail-short", "Hail short", "Kazemori", "pimpled-rubbers", "Short pimples for hitting",
          "Flat, fast and hard to read. For those who hit through spin.",
          (("rubber-nocturne", "Hail: a black pimpled sheet"),), "KZ-HAIL", 3190, (5, 4), RUBBER,
          (("R", {"Colour": "Red"}), ("B", {"Colour": "Black"})), play=(88, 58, 73),
          spec=(("Pimples", "1.0 mm"), ("Sponge", "1.8 mm")), returns=SEALED),
    Goods("club-bat", "Club bat", "Dravik", "ready-bats", "For the hall's cupboard",
          "A sturdy ready bat with edge tape, made to be dropped.",
          (("racket-duo", "A club bat"),), "DV-CLUB", 1290, (80,), (230, 280, 170, 40), play=(60, 58, 93),
          spec=(("Plies", "5"), ("Rubber", "1.8 mm sponge"))),
    Goods("aru-ready-pro", "Ready Pro", "Aruvane", "ready-bats", "Built and glued by us",
          "An all-wood blade with two grippy rubbers, glued here and cut flush.",
          (("racket-duo", "A ready bat with red and black rubber"),), "AR-RPRO", 4590, (12,), (260, 290, 170, 40), seller=1,
          play=(76, 82, 85), spec=(("Blade", "5 plies"), ("Rubbers", "2.0 mm, red and black"))),
    Goods("match-40-12", "Match 40+ dozen", "Sferis", "match-balls", "12 balls, seamless",
          "The match ball by the dozen, for those who practise serves.",
          (("balls-match", "White match balls"),), "SF-MATCH12", 1590, (90,), (190, 190, 150, 50),
          spec=(("Diameter", "40+ mm"), ("Stars", "3"), ("In the box", "12 balls")), returns=SEALED),
    Goods("yard-table", "Yard table", "Dravik", "tables", "For rain and sun",
          "A weatherproof top on a galvanised frame, with a net that stays on.",
          (("table-hall", "A table for outdoors"),), "DV-YARD", 58900, (6,), (78_000, 1620, 1540, 180), seller=1,
          spec=(("Top", "6 mm composite"), ("Frame", "Galvanised steel"))),
    Goods("club-net", "Club net set", "Sferis", "nets", "Screw posts, steel",
          "Steel posts and a cotton-topped net, for tables that stay up all week.",
          (("net-clip", "A net set with steel posts"),), "SF-CLUBNET", 2690, (22,), (1400, 480, 180, 80)),
    Goods("feeder-mini", "Feeder Mini", "Dravik", "robots", "2 spins, 40 balls",
          "A small feeder for the end of the table. Runs four hours on a charge.",
          (("robot-feeder", "Feeder Mini: a small ball robot"),), "DV-FEEDM", 12900, (8,), (2600, 380, 300, 280),
          was_rupees=14900, seller=1, spec=(("Balls a minute", "15 to 50"), ("Spins", "2"), ("Tank", "40 balls"))),
    Goods("glide-court", "Glide Court", "Aruvane", "shoes", "Wider last, EU 38 to 45",
          "The Glide on a wider last, with a firmer heel for heavy steps.",
          (("shoes-glide", "Glide Court: a white and petrol shoe"),), "AR-GLIDEC", 7499, (4, 5, 7, 9, 10, 8, 6, 3),
          (820, 330, 210, 120), SHOE_SIZES, seller=1, spec=(("Sole", "Gum rubber"), ("Weight", "290 g each in EU 42"))),
    Goods("tour-roller", "Tour roller", "Aruvane", "bags-and-cases", "For a week of matches",
          "Forty-five litres on wheels, with a bat wall that stays cool in the sun.",
          (("bag-circuit", "Tour roller: an orange bag"),), "AR-TOUR45", 7890, (9,), (2900, 560, 360, 260), seller=1,
          spec=(("Volume", "45 l"), ("Wheels", "2"))),
)
# fmt: on
