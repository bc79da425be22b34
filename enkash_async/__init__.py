"""An asyncio SDK for the EnKash Bill Payment API: exact money, shared tokens, no guessed outcomes.

Unofficial; not affiliated with EnKash.
"""

import lazy_loader

# The public names stand in `__init__.pyi`, and are loaded on first use: values and errors do not pay for aiohttp.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
