"""Prompts as programs: a prompt is the beginning of one, and its beginning must run by itself."""

import ast


def complete(prompt: str) -> str:
    r"""The prompt as a whole program: as it stands, or with a body where its last function has none.

    Raises SyntaxError where neither is one.

    >>> complete("def f(x):")
    'def f(x):\n    pass\n'
    """
    for ending in ("", "\n    pass\n", "pass"):
        try:
            ast.parse(prompt + ending)
        except SyntaxError:
            continue
        return prompt + ending
    ast.parse(prompt)
    return prompt
