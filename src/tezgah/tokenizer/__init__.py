"""Text to token ids and back: how a vocabulary is learned, kept in a `tokenizer.json`, used and measured.

Start at `tokenizer.py`. `normalize.py` makes text uniform, `pretokenize.py` says where words end,
`learn.py` makes a vocabulary by any of the algorithms, `engine.py` applies it, `artefact.py` knows the
file, `measure.py` says how good the result is.
"""
