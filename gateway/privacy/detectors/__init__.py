"""Finds personal data: in texts (`detect`), and hints of it in the bytes of events (`prescan`)."""
