"""Statements are read as banks write them; a line that cannot be read is told by its number, and no other is lost."""

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shop.money import exponent
from shop.payments.gateways.transfer_reference import (
    ALPHABET,
    BASE32,
    references_in,
    shown,
    transfer_reference,
)
from shop.payments.statements.cells import CellError, mark_of, read_amount, read_day
from shop.payments.statements.reading import read_statement
from shop.payments.statements.rows import StatementError

BOUNDED = settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
DAY = date(2026, 11, 24)


def read(text, encoding="utf-8", currency="INR"):
    return read_statement(text.encode(encoding), currency)


# --- cells -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-24", "24.11.2026", "24/11/2026", "24-11-2026", "24.11.26", "24/11/26", "20261124",
        "2026/11/24", "24-Nov-2026", "24 Nov 2026", " 24 November 2026 ", "2026-11-24T10:11:12Z", "24/11/2026 09:30",
    ],
)  # fmt: skip
def test_days_as_banks_write_them(written):
    assert read_day(written) == DAY


@pytest.mark.parametrize(
    "written", ["11/24/2026", "", "soon", "32.01.2026", "2026-13-01", "24.11.1889", "２４.11.2026"]
)
def test_what_is_no_day_is_told(written):
    with pytest.raises(CellError, match="is not a date"):
        read_day(written)


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        ("1299.00", 129_900), ("1,299.00", 129_900), ("1.299,00", 129_900), ("1 299,00", 129_900),
        ("1\u00a0299,5", 129_950), ("1'299.00", 129_900), ("1,00,499.00", 10_049_900), ("-5,50", -550),
        ("5.50-", -550), ("(5.50)", -550), ("−5.50", -550), ("₹ 1,299.00 CR", 129_900),
        ("1299.00 Dr", -129_900), ("+7", 700), ("0,01", 1), ("1.234.567,89", 123_456_789), ("12.5000", 1_250),
    ],
)  # fmt: skip
def test_amounts_as_banks_write_them(written, minor):
    assert read_amount(written, "INR", None if mark_of(written) else ".") == minor


@pytest.mark.parametrize(
    ("written", "currency", "mark", "words"),
    [
        ("1.234", "INR", None, "could mean two amounts"),
        ("1,234", "KWD", None, "could mean two amounts"),
        ("1.234", "INR", ".", "more decimals"),
        ("12.3.4", "INR", ".", "is not an amount"),
        ("1e5", "INR", ".", "is not an amount"),
        ("٣", "INR", ".", "is not an amount"),
        ("", "INR", ".", "is not an amount"),
        ("99999999999999999", "INR", ".", "too large"),
    ],
)
def test_what_is_no_certain_amount_is_told(written, currency, mark, words):
    with pytest.raises(CellError, match=words):
        read_amount(written, currency, mark)


@BOUNDED
@given(st.integers(0, 10**9), st.sampled_from(["INR", "JPY", "KWD", "SEK"]), st.sampled_from(",."))
def test_what_was_written_is_read_again(minor, currency, mark):
    decimals = exponent(currency)
    whole, fraction = divmod(minor, 10**decimals)
    grouped = f"{whole:,}".replace(",", "." if mark == "," else ",")
    written = grouped + (f"{mark}{fraction:0{decimals}}" if decimals else "")
    assert read_amount(written, currency, mark) == minor


# --- CSV -------------------------------------------------------------------------------------

SWEDISH = """Kontonummer;5000-1 234 567\r
\r
Bokföringsdag;Valutadag;Belopp;Saldo;Valuta;Meddelande;Arkivreferens\r
2026-11-24;2026-11-24;1 299,00;5 000,00;SEK;7K4Q 9DXM P;A1\r
24.11.2026;;-5,50;4 994,50;SEK;"Avgift; månad";\r
"""
INDIAN = """Date,Narration,Chq./Ref.No.,Value Dt,Withdrawal Amt.,Deposit Amt.,Closing Balance
24/11/26,NEFT CR-ASHA RAO,N326250001,24/11/26,,"1,00,499.00","2,00,000.00"
24/11/26,ATM,0000000000,24/11/26,500.00,,"1,99,500.00"
"""
NIGERIAN = "Txn Date|Remarks|Amount (NGN)|Dr/Cr\n24-Nov-2026|hello|500.00|CR\n24-Nov-2026|fee|25.50|DR\n"  # fmt: skip
GERMAN = "Buchungstag\tVerwendungszweck\tUmsatz\tWährung\n24.11.2026\tRechnung\t1.299,00\tEUR\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SWEDISH, [(4, 129_900, "SEK", "A1"), (5, -550, "SEK", None)]),
        (INDIAN, [(2, 10_049_900, "INR", "N326250001"), (3, -50_000, "INR", None)]),
        (NIGERIAN, [(2, 50_000, "NGN", None), (3, -2_550, "NGN", None)]),
        (GERMAN, [(2, 129_900, "EUR", None)]),
    ],
    ids=["swedish", "indian", "nigerian", "german"],
)
def test_files_of_many_banks_are_read(text, told, encoding):
    found = read(text, encoding)
    assert [(r.line, r.amount_minor, r.currency, r.bank_id) for r in found.rows] == told
    assert {row.booked_on for row in found.rows} == {DAY}
    assert found.faults == []


def test_letters_and_texts_come_through():
    rows = read(SWEDISH).rows
    assert [row.text for row in rows] == ["7K4Q 9DXM P", "Avgift; månad"]


def test_bad_lines_are_told_by_their_number_and_the_others_are_kept():
    found = read(
        "Date;Amount;Currency;Text\n24.11.2026;1,50;INR;one\nsoon;2,00;INR;two\n24.11.2026;;INR;three\n"
        "\n24.11.2026;x;INR;four\n24.11.2026;1,00;RUPEES;five\n;7,00;;Sum\n24.11.2026;3,00;INR;six\n"
    )
    assert [(row.line, row.text) for row in found.rows] == [(2, "one"), (9, "six")]
    assert [fault.line for fault in found.faults] == [3, 4, 6, 7, 8]
    assert found.faults[0].words.startswith("“soon” is not a date like 2026-11-24")
    assert found.faults[1].words == "No amount"
    assert found.faults[0].text == "soon · 2,00 · INR · two"


def test_the_decimal_mark_is_the_whole_files():
    found = read("Date;Amount\n24.11.2026;1.234\n24.11.2026;5,50\n")
    assert [row.amount_minor for row in found.rows] == [123_400, 550]


def test_a_field_over_several_lines_counts_them():
    found = read('Date;Amount;Text\n24.11.2026;1,00;"a\nb"\n24.11.2026;2,00;c\n')
    assert [(row.line, row.text) for row in found.rows] == [(2, "a b"), (4, "c")]


@pytest.mark.parametrize("letters", ["=cmd()", "\x00\x1b[31m", "a" * 5_000])
def test_texts_are_one_line_of_bounded_length(letters):
    if "\x00" in letters:
        with pytest.raises(StatementError):
            read(f"Date;Amount;Text\n24.11.2026;1,00;{letters}\n")
        return
    [row] = read(f"Date;Amount;Text\n24.11.2026;1,00;{letters}\n").rows
    assert len(row.text) <= 1_000
    assert row.text.isprintable()


def test_a_file_that_is_too_large_is_not_read():
    with pytest.raises(StatementError, match="larger than 900 kB"):
        read("Date;Amount\n" + "2026-01-01;1.00\n" * 60_000)


# --- MT940 -----------------------------------------------------------------------------------

MT940 = """{1:F01BANKSESSAXXX0000000000}{2:I940}{4:
:20:STARTUMS
:25:50000000/1234567
:28C:00001/001
:60F:C261123SEK1000,00
:61:2611241124C1299,00NTRFREF7//BANK123
:86:166?00GUTSCHRIFT?20PMT 7K4Q-9DXM-P?32ASHA RAO
:61:BROKEN
:86:a line of its own way
:61:2612310102RC100,00NTRFNONREF
:61:261124D5,50NCHG
more words
:62F:C261124SEK2193,50
-}
{4:
:20:NEXT
:25:OTHER
:60F:C261124JPY5000,
:61:2611241124C1500,NTRFX//Y1
:62F:C261124JPY6500,
-}
"""


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_an_mt940_file_is_read_booking_by_booking(encoding):
    found = read(MT940, encoding)
    assert found.form == "mt940"
    assert [(r.line, r.booked_on, r.amount_minor, r.currency, r.bank_id) for r in found.rows] == [
        (6, DAY, 129_900, "SEK", "BANK123"),
        (10, date(2027, 1, 2), -10_000, "SEK", None),
        (11, DAY, -550, "SEK", None),
        (19, DAY, 1_500, "JPY", "Y1"),
    ]
    assert [row.account for row in found.rows] == ["50000000/1234567"] * 3 + ["OTHER"]
    assert "7K4Q-9DXM-P ASHA RAO" in found.rows[0].text
    assert "more words" in found.rows[2].text
    assert [(fault.line, fault.text) for fault in found.faults] == [
        (8, "BROKEN a line of its own way")
    ]


@pytest.mark.parametrize(("mark", "sign"), [("C", 1), ("D", -1), ("RC", -1), ("RD", 1)])
def test_reversals_turn_the_sign(mark, sign):
    text = f":20:X\n:60F:C261123SEK0,00\n:61:261124{mark}7,00NTRF\n"
    assert read(text).rows[0].amount_minor == sign * 700


def test_a_reference_that_the_banks_line_end_cut_is_whole_again():
    first = "PAYMENT OF A VERY LONG TEXT THAT FILLS THE LINE TO ITS END 7K4Q9D"
    assert len(first) == 65
    found = read(f":20:X\n:60F:C261123SEK0,00\n:61:261124C7,00NTRF\n:86:{first}\nXMP rest\n")
    assert "7K4Q9DXMP rest" in found.rows[0].text


# --- anything at all -------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["Date", "Amount", "Text", ";", ",", "\t", "\n", '"', "24.11.2026", "1.299,00", "-", ":61:", ":86:",
     ":20:", ":60F:C261123SEK1,00", "2611241124C1299,00NTRFREF7//B", "\ufeff", "é", "€", "Saldo", "(", "CR", "\r", "9" * 30]
)  # fmt: skip

ODD = st.text(st.characters(max_codepoint=0x2FF), max_size=6)


@BOUNDED
@given(st.lists(PIECES | ODD, max_size=40).map("".join))
def test_no_text_breaks_the_reader(text):
    _reads_or_says_why(text.encode("utf-8", errors="replace"))


@BOUNDED
@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data):
    _reads_or_says_why(data)


@BOUNDED
@given(st.lists(PIECES | ODD, max_size=30).map("".join), st.sampled_from(["Date;Amount;Text\n", ":20:X\n:60F:C261123SEK0,00\n"]))  # fmt: skip
def test_no_row_is_lost_between_read_and_told(text, head):
    _reads_or_says_why((head + text).encode("utf-8", errors="replace"))


def _reads_or_says_why(data):
    try:
        found = read_statement(data, "INR")
    except StatementError:
        return
    for row in found.rows:
        assert isinstance(row.amount_minor, int)
        assert row.line >= 1
        assert row.text.isprintable()
        assert len(row.currency) == 3
    assert all(fault.words for fault in found.faults)
    assert len(found.rows) + len(found.faults) >= 1


def test_a_file_of_nothing_but_tags_takes_no_time():
    with pytest.raises(StatementError, match="more than 5000 bookings"):
        read(":20:X\n:60F:C261123SEK0,00\n" + ":61:" + "9" * 60 + "\n" + ":61:x\n" * 20_000)


# --- references ------------------------------------------------------------------------------

REFERENCES = st.text(alphabet=BASE32, min_size=26, max_size=26)


@BOUNDED
@given(REFERENCES, st.sampled_from(["{}", "pmt {}!", "inv 4711 {} asha"]))
def test_a_reference_is_found_however_it_is_typed(reference, around):
    compact = transfer_reference(reference)
    assert set(compact) <= set(ALPHABET)
    assert not set("01IO") & set(compact)
    for form in (compact, shown(compact), compact.lower(), " ".join(compact)):
        assert compact in references_in(around.format(form))


@BOUNDED
@given(REFERENCES, st.integers(0, 8), st.sampled_from(ALPHABET))
def test_one_wrong_letter_names_no_payment(reference, place, letter):
    compact = transfer_reference(reference)
    wrong = compact[:place] + letter + compact[place + 1 :]
    assert (references_in(wrong) == []) == (wrong != compact)


@pytest.mark.parametrize(
    ("typed", "meant"), [("1", "L"), ("I", "L"), ("i", "L"), ("0", "Q"), ("o", "Q")]
)
def test_letters_that_look_alike_are_taken_for_those_that_exist(typed, meant):
    reference = next(
        found
        for tail in BASE32
        if meant in (found := transfer_reference(BASE32[ALPHABET.index(meant)] + tail * 25))
    )
    assert reference in references_in(reference.replace(meant, typed))
