"""What is made of measurements: figures, goals, comparisons, charts and tables."""
