"""
The way up: how a call reaches Noojee, and what is known of its fate when it does not come back whole.

The only place where a stored key is opened (law 3), and the only one that knows the HTTP client.
"""
