"""Text to token ids and back: how a vocabulary is learned, kept in a `tokenizer.json`, used and measured.

Start at `tokenizer.py`. `pretokenize.py` says where words end, `engine.py` learns and applies
merges, `artefact.py` knows the file, `measure.py` says how good the result is.
"""
