"""Turns measurements into figures, goals, comparisons, charts and tables."""
