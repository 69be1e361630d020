"""Pure Linen modules."""
