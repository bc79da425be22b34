"""An asyncio SDK for the EnKash Bill Payment API: exact money, shared tokens, no guessed outcomes.

Unofficial; not affiliated with EnKash.
"""

import ast
import os
from typing import Any

import lazy_loader

# `__init__.pyi` lists the public names. Each name is loaded on first use, so that values and errors do not import
# aiohttp. The list is read through the package's loader, which works even if the package is in a zip file.
_loader: Any = __spec__.loader
_stub = ast.parse(_loader.get_data(os.path.join(__path__[0], "__init__.pyi")))  # noqa: PTH118 (a loader takes text)
_names = {node.module: [alias.name for alias in node.names] for node in _stub.body if isinstance(node, ast.ImportFrom)}
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_names)
del _loader, _stub, _names
