-- Searches of the whole fleet by an address or its domain, by an IP address, and by a host or what it ends with (its last
-- 2 to 4 labels). Of arrays, for a condition on several columns: one index of three columns costs less than three, and
-- by_address answers for by_recipient too. The arrays are as query/search.py has them. The sink does not have them made
-- by its inserts: what is fresh is little, and the first merge makes them.
-- Materialized by week
ALTER TABLE {database}.deliveries
    ADD INDEX IF NOT EXISTS by_address [lower(sender), lower(recipient), lower(original_recipient), lower(substringIndex(sender, '@', -1)), lower(substringIndex(recipient, '@', -1)), lower(substringIndex(original_recipient, '@', -1))] TYPE bloom_filter(0.001) GRANULARITY 4,
    ADD INDEX IF NOT EXISTS by_ip [client_ip, remote_ip] TYPE bloom_filter(0.001) GRANULARITY 4,
    ADD INDEX IF NOT EXISTS by_host [lower(substringIndex(client_host, '.', -2)), lower(substringIndex(client_host, '.', -3)), lower(substringIndex(client_host, '.', -4)), lower(substringIndex(remote_host, '.', -2)), lower(substringIndex(remote_host, '.', -3)), lower(substringIndex(remote_host, '.', -4))] TYPE bloom_filter(0.001) GRANULARITY 4;
ALTER TABLE {database}.deliveries DROP INDEX IF EXISTS by_recipient;
