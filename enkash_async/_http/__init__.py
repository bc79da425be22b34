"""HTTP: signs calls, sends them through aiohttp, and retries them if a retry is safe."""
