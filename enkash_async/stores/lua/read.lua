-- KEYS: records. Returns the server's clock, and what they hold.
return {redis.call('TIME'), redis.call('MGET', unpack(KEYS))}
