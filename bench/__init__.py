"""Benchmarks of the gateway; see README.md in this folder."""
