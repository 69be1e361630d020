"""Offline measurement of checkpoints."""
