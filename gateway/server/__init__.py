"""The HTTP server: the aiohttp app, and the administration API in `admin`."""
