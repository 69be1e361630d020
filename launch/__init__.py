"""Ways to start several training processes; run from the root of the repository."""
