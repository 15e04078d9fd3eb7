"""The corpus: from files to documents, one row each, with where it came from and which split it is in.

`inputs.py` finds files, `readers.py` reads them (`texts.py`, `json_rows.py`, `tables.py`, `hub.py`),
`rules.py`, `cut.py`, `duplicates.py` and `split.py` decide about batches of documents, `build.py`
puts it together and `card.py` tells what happened. `reading.py` opens the result.
"""
