"""Where a text is cut into words before merging: no token ever crosses such a cut.

GPT-2's rule is that of Radford et al. 2019 (`encoder.py`), cl100k and o200k are those of GPT-4
and GPT-4o as `tokenizer.json` files in the wild state them. Every rule ends in alternatives that
match whatever is left, so the pieces of a text, put together, are the text.
"""

from typing import Any, get_args

from tezgah.tokenizer.settings import Split

ENGLISH_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"|\s+(?!\S)|\s+"  # a run of white space leaves its last character to the word that follows

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + REST  # built into ByteLevel, where that is
PATTERNS: dict[str, str] = {
    "cl100k": ENGLISH_SUFFIX
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    + r"|\p{N}{1,3}"
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    + r"|\s*[\r\n]+"
    + REST,
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    + ENGLISH_SUFFIX
    + r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    + ENGLISH_SUFFIX
    + r"?|\p{N}{1,3}"
    + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    + r"|\s*[\r\n]+"
    + REST,
    "whitespace": r" ?\S+" + REST,
    # GPT-2's rule with a Turkish suffix whole: Ali|'den, where GPT-2's English suffixes give Ali|'d|en.
    "turkish-safe": r"['’]\p{L}+| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + REST,
}

EVERY_DIGIT = {"type": "Digits", "individual_digits": True}


def pre_tokenizer(split: Split) -> dict[str, Any]:
    """The `pre_tokenizer` entry of a `tokenizer.json` that cuts text by the named rule.

    >>> pre_tokenizer("gpt2")["use_regex"]          # GPT-2's rule is built into ByteLevel
    True
    >>> [part["type"] for part in pre_tokenizer("turkish-safe")["pretokenizers"]]
    ['Split', 'ByteLevel']
    """
    if split == "gpt2":
        return _byte_level(use_regex=True)
    if split == "digits":  # StarCoder's rule: every digit by itself, GPT-2's rule between digits
        return _sequence(EVERY_DIGIT, _byte_level(use_regex=True))
    return _sequence(_cut(PATTERNS[split]), _byte_level(use_regex=False))


def character_pre_tokenizer(split: Split) -> dict[str, Any]:
    """The same for a vocabulary of characters instead of bytes."""
    if split == "digits":
        return _sequence(EVERY_DIGIT, _cut(GPT2))
    return _cut(PATTERNS.get(split, GPT2))


def split_of(rule: Any) -> Split | None:
    """The split that the `pre_tokenizer` entry of a `tokenizer.json` asks for; None where it is none of ours.

    >>> split_of({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False})
    'gpt2'
    """
    return next((split for split in get_args(Split) if _essence(pre_tokenizer(split)) == _essence(rule)), None)


def is_character_rule(rule: Any) -> bool:
    """Whether the `pre_tokenizer` entry of a `tokenizer.json` only cuts, so that characters stay what they are."""
    return rule is None or rule in [character_pre_tokenizer(split) for split in get_args(Split)]


def _essence(rule: Any) -> Any:
    """What of a rule decides where it cuts, its defaults filled in."""
    match rule:
        case {"type": "Sequence", "pretokenizers": parts}:
            return [_essence(part) for part in parts]
        case {"type": "ByteLevel"}:
            return "ByteLevel", rule.get("add_prefix_space", True), rule.get("use_regex", True)
        case {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}:
            return "Split", regex
        case {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Removed", "invert": True}:
            return "Split", regex  # all between matches removed: our patterns leave nothing between them
    return rule


def _cut(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}
