"""
What operators set: upstreams, credentials, callers, tokens and grants, with a version that every change raises.

The only package here that imports SQLAlchemy and Alembic, and it does so when a registry is opened, not before: a verb
that needs none of it must feel instant. It holds no audit events but those that are still owed to the journal.
"""
