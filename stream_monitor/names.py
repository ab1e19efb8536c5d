"""Names that are not known, but nearly, and things by their number: what messages say of them."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def choices(value: str, known: Collection[str]) -> str:
    """The end of a message about a name that is not known: a suggestion and the names that are.

    >>> choices("pis", ["psi", "ks"])
    "; did you mean 'psi'? known: ks, psi"
    """
    begun = [name for name in known if len(value) > 2 and name.startswith(value)]
    near = difflib.get_close_matches(value[:80], sorted(known), n=1) or begun
    hint = f"; did you mean '{near[0]}'?" if near else ";" if known else ""
    return f"{hint} known: {', '.join(sorted(known))}" if known else hint


def many(count: int, thing: str) -> str:
    """So many of them.

    >>> many(1, "model"), many(0, "sink"), many(1_200, "monitor")
    ('1 model', '0 sinks', '1,200 monitors')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
