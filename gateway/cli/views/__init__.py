"""Views of results: tables for a terminal, pages for a browser."""
