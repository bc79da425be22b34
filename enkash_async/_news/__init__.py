"""The news of bills: what the handler of webhooks was last told about each bill, as a record in the shared store."""
