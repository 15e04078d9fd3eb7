"""GPT-2's way to write bytes as text: 256 printable characters stand for the 256 bytes.

A vocabulary file holds strings, tokens are bytes. Bytes that print stand for themselves, the
others take the characters from U+0100 on in order, so a space is Ġ and a newline is Ċ.
"""


def _byte_characters() -> tuple[str, ...]:
    """The character of each byte, (256,)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
UTF8_BYTES = (*range(0xC0), *range(0xC2, 0xF5))  # the others are in no UTF-8 text, and some vocabularies lack them
CHARACTER_BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def token_bytes(token: str) -> bytes:
    """The bytes a vocabulary entry stands for.

    A character outside the alphabet stands for its own UTF-8 bytes: some vocabularies hold
    such entries for text that is never split.

    >>> token_bytes("ĠkÃ¶y").decode()
    ' köy'
    """
    try:
        return bytes([CHARACTER_BYTES[character] for character in token])
    except KeyError:
        return token.encode()
