#!/usr/bin/env python3
"""Writes time_zones.txt, from the metadata of libphonenumber.

    pip install phonenumbers==9.0.43 regex==2026.11.15
    python3 third_party/libphonenumber/generate.py

`phonenumbers` is libphonenumber for Python, with its metadata. Its prefixes are for numbers
that belong to a place. The library takes a mobile or a toll-free number, where those belong
to none, for one from anywhere in the country; so do the lines that this script adds.
`regex` tells whether a number may begin with some digits, which Python's own `re` can't.
"""

import pathlib
import sys

import phonenumbers
import regex
from phonenumbers import PhoneNumberType as Type
from phonenumbers.phonenumberutil import is_number_type_geographical
from phonenumbers.tzdata import TIMEZONE_DATA

VERSION = "9.0.43"

# Beyond so many digits of the national number a mixed prefix is taken for the whole country.
DEPTH = 5

# In North America the area code tells the country, also for a mobile number.
BY_AREA_CODE = {"1"}

TYPES = {
    Type.PREMIUM_RATE: "premium_rate",
    Type.TOLL_FREE: "toll_free",
    Type.SHARED_COST: "shared_cost",
    Type.VOIP: "voip",
    Type.PERSONAL_NUMBER: "personal_number",
    Type.PAGER: "pager",
    Type.UAN: "uan",
    Type.VOICEMAIL: "voicemail",
    Type.FIXED_LINE: "fixed_line",
    Type.MOBILE: "mobile",
}


def patterns(code):
    """The patterns of a country's numbers, without and with a place."""
    anywhere, placed = set(), set()
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        for kind, name in TYPES.items():
            description = getattr(metadata, name)
            if description is None or not description.national_number_pattern:
                continue
            pattern = description.national_number_pattern
            has_place = is_number_type_geographical(kind, int(code))
            # Where a mobile number can't be told from any other, both have a place.
            if kind == Type.MOBILE and pattern == metadata.fixed_line.national_number_pattern:
                has_place = True
            (placed if has_place else anywhere).add(regex.compile(pattern))
    return anywhere, placed


def may_begin(pattern_set, digits):
    return {p for p in pattern_set if p.fullmatch(digits, partial=True)}


def placed_nowhere(code):
    """The prefixes of a country's numbers that have no place."""
    found = []

    def descend(digits, anywhere, placed):
        anywhere, placed = may_begin(anywhere, digits), may_begin(placed, digits)
        if not anywhere:
            return
        if not placed or len(digits) == DEPTH:
            found.append(code + digits)
            return
        for digit in "0123456789":
            descend(digits + digit, anywhere, placed)

    anywhere, placed = patterns(code)
    for digit in "0123456789":
        descend(digit, anywhere, placed)
    return found


def longest(table, digits):
    for length in range(len(digits), 0, -1):
        if digits[:length] in table:
            return table[digits[:length]]
    return None


def with_numbers_of_no_place():
    table = dict(TIMEZONE_DATA)
    for code in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        whole = TIMEZONE_DATA.get(code)
        if whole is None or len(whole) == 1 or code in BY_AREA_CODE:
            continue
        for prefix in placed_nowhere(code):
            # What is told of longer ones is for places, of which none begins so (or, at
            # DEPTH, some do: they count for the whole country as well, which is safe).
            for closer in [p for p in table if p.startswith(prefix)]:
                del table[closer]
            table[prefix] = whole
    return table


def main():
    if phonenumbers.__version__ != VERSION:
        sys.exit(f"expected phonenumbers {VERSION}, found {phonenumbers.__version__}")
    table = with_numbers_of_no_place()
    # Shorter prefixes say the same.
    for prefix in sorted(table, key=len, reverse=True):
        shorter = {p: z for p, z in table.items() if p != prefix and prefix.startswith(p)}
        if shorter and longest(shorter, prefix) == table[prefix]:
            del table[prefix]
    lines = []
    first = {}
    for prefix in sorted(table):
        zones = table[prefix]
        same = first.setdefault(zones, prefix)
        lines.append(f"{prefix}|" + ("&".join(zones) if same == prefix else f"={same}"))
    head = [
        f"# Time zones by the first digits of a number, from libphonenumber {VERSION}.",
        "# Copyright (C) 2011-2026 The Libphonenumber Authors. Apache License 2.0: see LICENSE.",
        "# Written by generate.py; don't edit. PREFIX|ZONE&ZONE, or PREFIX|=PREFIX: as that one.",
    ]
    path = pathlib.Path(__file__).with_name("time_zones.txt")
    path.write_text("\n".join(head + lines) + "\n", encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
