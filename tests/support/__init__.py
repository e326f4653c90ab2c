"""What tests share: harnesses, and helpers for processes, sizes and surroundings."""
