"""Harnesses and helpers that several tests share; no tests."""
