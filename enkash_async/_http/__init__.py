"""HTTP: signs calls, sends them through aiohttp, and repeats them where that is safe."""
