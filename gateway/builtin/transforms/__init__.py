"""Transforms that come with the gateway."""
