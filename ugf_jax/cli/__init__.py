"""The verbs of the `ugf` command, one small file each."""
