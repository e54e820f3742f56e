"""Drawing the evidence as a PDF. Loaded when the first one is asked for, since its library is large.

The text of people and providers is drawn as text: nothing in it is markup, and nothing is fetched.
DejaVu Sans draws Latin, Greek, Cyrillic and more; what it lacks, or what is written from right to
left, is spelled out in [brackets] rather than left out.
"""

import unicodedata
from itertools import groupby
from pathlib import Path

from fpdf import FPDF, FontFace
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from shop.admin.evidence import Bundle, Section, Table

FONTS = Path(__file__).parent / "fonts"
LABEL_MM = 46
LINE_MM = 5
MOST_IN_CELL = 900
#: Scripts whose letters carry a vowel that a following sign replaces: their names read as syllables.
SYLLABIC = (
    "BENGALI", "DEVANAGARI", "GUJARATI", "GURMUKHI", "KANNADA", "MALAYALAM", "ORIYA", "SINHALA",
    "TAMIL", "TELUGU",
)  # fmt: skip
TO_THE_LEFT = {"R", "AL", "AN"}
SPELLED = (
    "Words in [brackets] are in a script that this file has no letters for. They are spelled by "
    "the names of their letters, or by their numbers in Unicode."
)


def draw(bundle: Bundle) -> bytes:
    """The PDF, A4."""
    sheet = _Sheet()
    sheet.write_title(bundle.title, bundle.subtitle)
    for section in bundle.sections:
        sheet.write_section(section)
    if sheet.has_spelled:
        sheet.write_words(SPELLED)
    return bytes(sheet.output())


class _Sheet(FPDF):
    """The page: margins, fonts, and the few forms that text takes on it."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.has_spelled = False
        #: A customer's "{nb}" is text, not the number of pages.
        self.str_alias_nb_pages = ""
        self.add_font("DejaVu", "", str(FONTS / "DejaVuSans.ttf"))
        self.add_font("DejaVu", "B", str(FONTS / "DejaVuSans-Bold.ttf"))
        font = self.fonts["dejavu"]
        assert isinstance(font, TTFFont)
        self.letters = frozenset(font.cmap)
        self.set_margins(18, 16, 18)
        self.c_margin = 0
        self.set_auto_page_break(True, 18)
        self.add_page()

    def footer(self) -> None:
        """The page's number."""
        self.set_y(-12)
        self.set_font("DejaVu", size=8)
        self.cell(0, 5, f"Page {self.page_no()}", align="R")

    def write_title(self, title: str, subtitle: str) -> None:
        """At the head of the first page, and as the file's title."""
        self.set_title(self.legible(title))
        self.set_font("DejaVu", "B", 15)
        self._block(title, 7)
        self.set_font("DejaVu", size=8.5)
        self._block(subtitle)

    def write_section(self, section: Section) -> None:
        """A heading that stays with what follows it."""
        if self.get_y() > self.h - 50:
            self.add_page()
        self.ln(5)
        self.set_font("DejaVu", "B", 11)
        self._block(section.title, 6)
        self.set_draw_color(160)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self.ln(1.5)
        self.set_font("DejaVu", size=8.5)
        for label, value in section.facts:
            self._fact(label, value)
        if section.table:
            self._table(section.table)
        elif section.nothing:
            self._block(section.nothing)

    def write_words(self, words: str) -> None:
        """A paragraph at the end."""
        self.ln(5)
        self.set_font("DejaVu", size=8)
        self._block(words)

    def legible(self, text: str) -> str:
        """The text with what cannot be drawn spelled out; see `legible` below."""
        shown = legible(text, self.letters)
        self.has_spelled = self.has_spelled or shown.count("[") > text.count("[")
        return shown

    def _block(self, text: str, height: float = LINE_MM) -> None:
        self.multi_cell(
            0, height, self.legible(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )

    def _fact(self, label: str, value: str) -> None:
        if self.get_y() > self.h - 18 - 2 * LINE_MM:
            self.add_page()
        self.set_text_color(90)
        self.cell(LABEL_MM, LINE_MM, label)
        self.set_text_color(0)
        self._block(value)

    def _table(self, table: Table) -> None:
        self.ln(1)
        with self.table(
            col_widths=table.widths, text_align="LEFT", line_height=4.4, padding=0.8,
            borders_layout="HORIZONTAL_LINES", headings_style=FontFace(emphasis="BOLD"),
        ) as drawn:  # fmt: skip
            for row in (table.heads, *table.rows):
                drawn.row([self.legible(_short(cell)) for cell in row])


def _short(text: str) -> str:
    """A table's row must fit on one page; what is cut says so."""
    return text if len(text) <= MOST_IN_CELL else f"{text[:MOST_IN_CELL]} … (cut)"


def legible(text: str, letters: frozenset[int]) -> str:
    """The text with every run of letters that the font lacks spelled out in brackets.

    `letters` are the code points that the font draws. Control characters become spaces.
    """
    plain = "".join(
        " " if unicodedata.category(sign) == "Cc" and sign != "\n" else sign
        for sign in unicodedata.normalize("NFC", text)
    )
    runs = groupby(plain, lambda sign: sign == "\n" or _is_drawn(sign, letters))
    return "".join("".join(run) if is_drawn else _spelled("".join(run)) for is_drawn, run in runs)


def _is_drawn(sign: str, letters: frozenset[int]) -> bool:
    """Marks that turn the direction of writing are not drawn either: they would hide other text."""
    is_mark = unicodedata.category(sign) == "Cf"
    turns = unicodedata.bidirectional(sign) in TO_THE_LEFT
    return ord(sign) in letters and not is_mark and not turns


def _spelled(run: str) -> str:
    """[aashaa] for आशा, [ain-meem-reh] for عمر, [U+5C71] for 山."""
    said: list[str] = []
    is_syllabic = False
    for sign in run:
        name = unicodedata.name(sign, "")
        if "JOINER" in name or "VARIATION SELECTOR" in name:
            continue
        is_syllabic = is_syllabic or name.startswith(SYLLABIC)
        if " VOWEL SIGN " in name or name.endswith("VIRAMA"):
            vowel = name.partition(" VOWEL SIGN ")[2].lower()
            said.append(said.pop().removesuffix("a") + vowel if said else vowel)
            continue
        said.append(_sound(sign, name))
    return f"[{('' if is_syllabic else '-').join(said)}]" if said else ""


def _sound(sign: str, name: str) -> str:
    digit = unicodedata.digit(sign, None)
    if digit is not None:
        return str(digit)
    for kind in (" LETTER ", " SYLLABLE "):
        if kind in name:
            return name.rpartition(kind)[2].lower()
    return f"U+{ord(sign):04X}"
