"""The process of one candidate: confined, then told what to run, then asked.

What it says is believed by nobody: it is a value that a test compares. So nothing here guards
anything; the guards are the layers put on before, and the process on the other side of the link.
"""

import socket
import sys
import types
from contextlib import suppress
from functools import partial
from typing import Any

from tezgah.evaluation.sandbox import codec, frames
from tezgah.evaluation.sandbox.confinement import Confinement
from tezgah.evaluation.sandbox.forking import cut_off

MODULE = "candidate"
REHEARSED = """
from typing import List
def answer(items: List[float]) -> float:
    '''The first of some items.'''
    for item in items:
        return [each for each in items if each is item][0]
"""
CALLS = 20  # until Python has made of code what it makes of code that runs often


def main(link: int, confinement: Confinement) -> None:
    """Run the program that comes over `link`, then do the calls that come; returns when nobody asks any more."""
    cut_off(link, *confinement.descriptors)
    confinement.confine()
    try:
        _serve(link)
    except frames.Closed:
        return


def rehearse() -> None:
    """Do, in the process that candidates' processes are forked from, what each of them will do.

    What Python notes about code that has run is there then; otherwise each of them notes it again, and every page that
    it writes to has to be copied first.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send(ours.fileno(), codec.dumps(REHEARSED).encode())
        for number in range(CALLS):
            frames.send(ours.fileno(), codec.dumps(("call", number, "answer", ([number, 0.5],), {})).encode())
        ours.shutdown(socket.SHUT_WR)
        with suppress(frames.Closed):
            _serve(theirs.fileno())
    del sys.modules[MODULE]


def _serve(link: int) -> None:
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # where dataclasses and typing look up what a class was written in
    objects: list[Any] = []  # what helpers made that is no plain data: told by number

    def number_of(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    program = codec.loads(frames.receive(link))
    _send(link, 0, _answer(0, lambda: exec(compile(program, "<candidate>", "exec"), module.__dict__)))
    while True:
        kind, number, name, arguments, named = codec.loads(frames.receive(link), objects.__getitem__)
        call = partial(_call, module, name, arguments, named)
        _send(link, number, _answer(number, call, arguments, number_of if kind == "help" else None))


def _call(module: types.ModuleType, name: str, arguments: Any, named: Any) -> Any:
    return getattr(module, name)(*arguments, **named)


def _answer(number: int, action: Any, arguments: Any = (), handle: Any = None) -> str:
    """What an action came to: a value, an error, or what no test could use.

    With the value None come the arguments as they are now: the action may have been about them.
    """
    try:
        value = action()
        if value is None:
            return _nothing(number, arguments)
        return codec.dumps(("returned", number, value, None), handle)
    except codec.NotPlain as error:
        return codec.dumps(("unfit", number, "NotPlain", str(error)))
    except Exception as error:  # noqa: BLE001  whatever a stranger's code raises
        return codec.dumps(("raised", number, type(error).__name__, _text(error)))
    except BaseException as error:  # noqa: BLE001
        return codec.dumps(("unfit", number, type(error).__name__, f"it raised {type(error).__name__}"))


def _nothing(number: int, arguments: Any) -> str:
    try:
        return codec.dumps(("returned", number, None, arguments))
    except codec.NotPlain:
        return codec.dumps(("returned", number, None, None))


def _send(link: int, number: int, text: str) -> None:
    content = text.encode()
    if len(content) > frames.MAX_BYTES:
        said = "unfit", number, "NotPlain", f"an answer of {len(content):,} bytes; {frames.MAX_BYTES:,} are the most"
        content = codec.dumps(said).encode()
    frames.send(link, content)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:1_000]
    except BaseException:  # noqa: BLE001
        return ""
