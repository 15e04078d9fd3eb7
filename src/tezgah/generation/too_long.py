"""How a line begins that refuses texts longer than a context."""


def told_share(long: int, texts: int) -> str:
    """Which of some texts are too long, up to the first one's size.

    >>> told_share(1, 1), told_share(2, 3)
    ('a text has', '2 of 3 texts are too long: the first of them has')
    """
    return "a text has" if texts == 1 else f"{long:,} of {texts:,} texts are too long: the first of them has"
