"""UniToken's documents (Jiao et al. 2025): its ids, its layout of images, AnyRes crops for the vision tower, its conversations.

BOI height width (codes of a row, newline) × rows SEP (features of the vision tower, with newlines) EOI
"""
