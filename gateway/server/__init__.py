"""The HTTP server: the aiohttp app (`app`) and the administration API (`admin`)."""
