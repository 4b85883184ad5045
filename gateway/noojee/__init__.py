"""
What we know of the Noojee API: its operations, how a target and its parameters are read, how a reply is understood.

Knows nothing of callers, grants or files.
"""
