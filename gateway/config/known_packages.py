"""The project's own packages, to name the one that a config or a command line needs."""

from __future__ import annotations

__all__ = ["KNOWN_COMMANDS", "KNOWN_TABLES"]

KNOWN_TABLES = {
    "insights": "headgate-insights",
    "boards": "headgate-insights",
    "goals": "headgate-insights",
    "report": "headgate-insights",
    "sql": "headgate-lake",
    "traits": "headgate-profiles",
    "audiences": "headgate-profiles",
    "audience-job": "headgate-profiles",
    "profile-api": "headgate-profiles",
}
"""Maps a table of config.toml to the package that reads it."""

KNOWN_COMMANDS = {
    "lake": "headgate-lake",
    "sql": "headgate-lake",
    "insights": "headgate-insights",
    "demo-history": "headgate-demo",
    "profile": "headgate-profiles",
    "audience": "headgate-profiles",
}
"""Maps a command to the package that brings it."""
