"""The only room that knows aiohttp, and how a call is signed."""
