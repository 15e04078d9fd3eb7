"""How good a model is: bits per byte of held-out documents, beside what compressors need."""
