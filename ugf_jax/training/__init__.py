"""One trainer for every stage."""
