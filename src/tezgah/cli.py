"""The command line: `tezgah VERB`. Results on stdout, messages on stderr; exit codes 0, 2 and 130.

A verb's parser and its rooms are loaded when that verb is asked for, so help answers at once.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from tezgah import __version__, verbs
from tezgah.answers import Verb
from tezgah.console import show, speaks
from tezgah.errors import InputError
from tezgah.fields import suggestion
from tezgah.flags import help_text, read_arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command; returns its exit code: 0 done, 2 the input is wrong, 130 stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        _do(words)
    except InputError as error:
        show(f"tezgah: {error}")
        return 2
    except KeyboardInterrupt:
        show(f"tezgah: stopped.{_mend(words)}")
        return 130
    except BrokenPipeError:  # the reader of stdout, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _do(words: list[str]) -> None:
    if " ".join(words[:2]) in verbs.VERBS:  # a verb of two words
        words = [" ".join(words[:2]), *words[2:]]
    family = {verb: each for verb, each in verbs.VERBS.items() if words and verb.startswith(f"{words[0]} ")}
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(verbs.VERBS))
    elif family and words[1:2] in (["-h"], ["--help"]):
        print(_overview(family))
    elif words[0] == "--version":
        print(f"tezgah {__version__}")
    elif words[0] not in verbs.VERBS:
        raise _no_verb(" ".join(words[:2]) if family else words[0], family or verbs.VERBS)
    elif any(word in ("-h", "--help") for word in words[1 : words.index("--") if "--" in words else None]):
        print(help_text(verbs.usage(words[0])))
    else:
        operands, given = read_arguments(verbs.usage(words[0]), words[1:])
        answer = verbs.call(words[0], operands, given)
        for piece in answer.pieces:
            print(piece, end="", flush=True)
        if speaks():
            print(json.dumps(answer.value, ensure_ascii=False) if "json" in given else answer.text, flush=True)


def _no_verb(said: str, known: Iterable[str]) -> InputError:
    listed = f"The verbs are {', '.join(known)}."
    if any(verb.startswith(f"{said} ") for verb in known):
        return InputError(f"{said} what? {listed}")
    return InputError(f"no verb {said}.{suggestion(said, known)} {listed}")


def _overview(shown: Mapping[str, Verb]) -> str:
    """What `tezgah --help` says, of all verbs or a family of them."""
    width = max(map(len, shown)) + 2
    listed = (f"  {name:<{width}}{verb.summary.partition('. ')[0].rstrip('.')}." for name, verb in shown.items())
    return "\n".join(
        [
            "From a folder of files to a loadable, measured language model, with one recipe.",
            "",
            "Usage: tezgah VERB …",
            "",
            *listed,
            "",
            "`tezgah VERB --help` shows a verb's flags, `tezgah --version` the version.",
        ]
    )


def _mend(words: list[str]) -> str:
    goes_on = words[:1] in (["run"], ["sweep"]) or words[:2] == ["tokenizer", "train"]
    goes_on |= words[:1] == ["generate"] and "-o" in words
    return " The same command goes on from here." if goes_on else ""


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
