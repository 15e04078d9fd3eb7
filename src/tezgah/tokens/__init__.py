"""Token ids on disk, sequences over them, and the order in which training sees those.

`build.py` writes a corpus as token shards, `shards.py` opens them as one long stream,
`sequences.py` cuts the stream into rows of a batch, `order.py` says which row comes when.
A corpus that cannot be stored: `stream.py` makes the stream while the files are read,
`streamed.py` cuts it into the same rows, `progress.py` finds a place in it again.
"""
