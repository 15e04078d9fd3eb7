"""From a folder of files to a loadable, measured language model, with one recipe."""

__version__ = "0.1.0"
