"""The connection to the memory that processes share; nothing of tokens, bills or events is known here."""
