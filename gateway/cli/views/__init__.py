"""How results look: tables for a terminal, pages for a browser."""
