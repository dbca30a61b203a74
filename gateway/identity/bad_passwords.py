"""Passwords that are guessed first, of the length that is taken: refused, whoever sets them."""

from __future__ import annotations

_COMMON = frozenset(
    """
    00000000 000000000 0123456789 0987654321 11111111 111111111 1111111111 11223344 12121212 12341234 12344321 123123123
    12345678 123456789 1234567890 12345678910 1234qwer 123qweasd 147258369 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 22222222 55555555
    66666666 77777777 87654321 88888888 987654321 99999999 a1b2c3d4 aa123456 aaaaaaaa abc12345 abcd1234 abcdefgh
    administrator admin123 admin1234 asdfasdf asdfghjk asdfghjkl baseball changeme computer corvette danielle dicom123
    firebird football iloveyou internet jennifer letmein1 liverpool marlboro maverick mercedes michelle midnight mustang1
    password password! password1 password12 password123 passw0rd p@ssw0rd p@ssword pokemon1 princess q1w2e3r4 qazwsxedc
    qwer1234 qwerasdf qwerty12 qwerty123 qwertyui qwertyuiop radiology relaypacs samantha secret123 starwars sunshine
    superman trustno1 victoria welcome1 welcome123 whatever zaq12wsx
    """.split()  # noqa: SIM905 - a hundred pairs of quotes are no easier to read
)


def is_bad(password: str, name: str = "") -> bool:
    """Whether it is one of those, or the account's own name."""
    folded = password.casefold()
    return folded in _COMMON or folded == name.casefold()
