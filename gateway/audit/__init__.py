"""
Writing the record: what an event is, how it is chained to the one before, and when it is on disk (laws 1 and 2).

Reading it, for people and for auditors, is `gateway.evidence`.
"""
