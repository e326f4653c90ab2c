"""Harnesses that several tests share. They hold no tests."""
