"""
What operators set: upstreams, credentials, callers, tokens and grants, with a version that every change raises.

The only package here that imports SQLAlchemy and Alembic, and it does so to make tables or migrate them, not before:
verbs must feel instant, and workers be small. It holds no audit events but those that are still owed to the journal.
"""
