"""Prompts as programs: a prompt is the beginning of one, and its beginning must run by itself."""

import ast
import warnings


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


def defines(prompt: str, function: str) -> bool:
    r"""Whether a prompt, a program as `complete` has it, begins a function; a docstring that names it does not.

    >>> defines("def f(x):\n", "f"), defines("'def f(x): what it does'\n", "f")
    (True, False)
    """
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old escape in somebody's string is not ours to tell
        body = ast.parse(complete(prompt)).body
    return any(isinstance(node, kinds) and node.name == function for node in body)
