"""Words of a text by the block: cut and hashed first, looked up after.

A lookup waits for memory. The lookups of a block do not wait for one another, as they would if the
next word were only cut once the last one was found.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import inlined
from tezgah.tokenizer.classes import ANY_SPACE
from tezgah.tokenizer.load import fetch
from tezgah.tokenizer.pretokenize import BERT, piece_end
from tezgah.tokenizer.runs import kind, run
from tezgah.tokenizer.wordtable import first_bytes, hash_of, last_bytes

AHEAD = 8  # bytes; more than any rule looks beyond a word that is not too long
WORDS = 256  # of a block: its arrays stay in the first cache


class Block(NamedTuple):
    """Words `text[begins[k]:ends[k]]` of rows `rows[k]`, with what finds them in a table."""

    rows: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.uint64]
    lasts: NDArray[np.uint64]
    hashes: NDArray[np.int64]


def new_block() -> Block:
    """A block to be filled."""
    rows, begins, ends, hashes = np.empty((4, WORDS), np.int64)
    firsts, lasts = np.empty((2, WORDS), np.uint64)
    return Block(rows, begins, ends, firsts, lasts, hashes)


@inlined
def fill(block, text, offsets, row, at, last_row, classes, split, longest, table):
    """Cut the words from byte `at` of `row` on; how many there are, and the row and the byte after them.

    Row `r` is `text[offsets[r]:offsets[r + 1]]`. A word of more than `longest` bytes is cut between characters,
    and where a rule would have to look further to see that it is one, earlier.
    Of every word the row of `table` that it may be in is fetched.
    """
    count = 0
    while row < last_row:
        end = offsets[row + 1]
        while at < end:
            if len(split) == BERT and kind(text, at, classes) & ANY_SPACE:  # white space is in no word
                at = run(text, at, end, classes, ANY_SPACE)
                continue
            if count == WORDS:
                return count, row, at
            # No further than shows that a word is too long: a line without a space would be read again and again.
            after = piece_end(text, at, min(end, at + longest + AHEAD), classes, split)
            if after - at > longest:
                after = at + longest
                while text[after] & 0xC0 == 0x80:
                    after -= 1
            first, last = first_bytes(text, at, after), last_bytes(text, at, after)
            block.rows[count], block.begins[count], block.ends[count] = row, at, after
            block.firsts[count], block.lasts[count] = first, last
            hashed = hash_of(first, last, text, at, after)
            block.hashes[count] = hashed
            fetch(table, hashed & (len(table) - 1))  # type: ignore[call-arg]
            count += 1
            at = after
        row += 1
    return count, row, at
