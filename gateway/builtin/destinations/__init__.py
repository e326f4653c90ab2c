"""Destinations that come with the gateway."""
