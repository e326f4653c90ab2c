"""The cases: what is measured, one file each."""
